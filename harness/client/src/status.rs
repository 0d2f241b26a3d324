//! Requests Kubernetes objects of its own, and reads their conditions.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use url::Url;

use crate::evidence;
use poolproof_model::status::{Arrangement, Report};

/// Covers the deletion of Gateways with finalizers.
const TIMEOUT: Duration = Duration::from_secs(90);

/// Requests at the address `at` that exactly these objects exist, and returns once the cluster has taken them.
pub async fn arrange(wanted: &Arrangement, http: &reqwest::Client, at: &Url) -> Result<()> {
    // Messages contain only the host: the full address may contain a password.
    let host = at.host_str().unwrap_or_default();
    let response = http.put(at.clone()).json(wanted).timeout(TIMEOUT).send();
    let response = response.await.map_err(reqwest::Error::without_url);
    let response = response.with_context(|| format!("requesting objects from {host}"))?;
    let status = response.status();
    let text = response.text().await.unwrap_or_default();
    let text = text.trim();
    ensure!(
        status.is_success(),
        "requesting objects: {host} answered {status}: {text}"
    );
    Ok(())
}

/// Reads the status of the objects that exist.
pub async fn report(http: &reqwest::Client, at: &Url) -> Result<Report> {
    let text = evidence::get(http, at).await?;
    serde_json::from_str(&text).context("reading the status of objects")
}
