//! Requests changes of a stack.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use url::Url;

use poolproof_model::change::Change;

/// Covers scheduling a pod, pulling its image and starting it.
const TIMEOUT: Duration = Duration::from_secs(180);

/// Requests a change at the address `at`, and returns once it has been made.
pub async fn make(change: &Change, http: &reqwest::Client, at: &Url) -> Result<()> {
    // Messages contain only the host: the full address may contain a password.
    let host = at.host_str().unwrap_or_default();
    let response = http.post(at.clone()).json(change).timeout(TIMEOUT).send();
    let response = response.await.map_err(reqwest::Error::without_url);
    let response =
        response.with_context(|| format!("requesting a change from {host}: {change}"))?;
    let status = response.status();
    let text = response.text().await.unwrap_or_default();
    let text = text.trim();
    ensure!(
        status.is_success(),
        "{change}: {host} answered {status}: {text}"
    );
    Ok(())
}
