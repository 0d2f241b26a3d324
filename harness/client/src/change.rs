//! Asks a stack for a change of one of its parts.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use url::Url;

use poolproof_model::change::Change;

/// A pod may have to be scheduled, pulled and started.
const TIMEOUT: Duration = Duration::from_secs(180);

/// Asks the address `at` for a change, and returns when it is made.
pub async fn make(change: &Change, http: &reqwest::Client, at: &Url) -> Result<()> {
    // Neither the address as a whole nor an error that names it: it may have a password in it.
    let host = at.host_str().unwrap_or_default();
    let response = http.post(at.clone()).json(change).timeout(TIMEOUT).send();
    let response = response.await.map_err(reqwest::Error::without_url);
    let response = response.with_context(|| format!("asking {host} for the change: {change}"))?;
    let status = response.status();
    let text = response.text().await.unwrap_or_default();
    let text = text.trim();
    ensure!(
        status.is_success(),
        "{change}: {host} answered {status}: {text}"
    );
    Ok(())
}
