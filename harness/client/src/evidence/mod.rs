//! Evidence: the counters of endpoints and endpoint pickers, and which endpoint served a request.
//!
//! This crate parses everything with its own code, never with the types that a stand-in serializes with. One bug cannot
//! hide at both ends.

pub mod control;
pub mod cross_check;
pub mod endpoint;
pub mod epp;
pub mod figures;
mod prometheus;
pub mod scrapes;
pub mod served;
pub mod watch;

use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures_util::StreamExt;
use poolproof_model::target::address::without_login;
use url::Url;

use crate::machine;

/// The largest document that is read, in bytes.
const DOCUMENT_LIMIT_BYTES: usize = 16 << 20;

/// The largest page of metrics that is read, in bytes. Pages of all endpoints are read at the same time, many times a second. vLLM's has
/// about 100 KB, that of an endpoint picker of 10,000 endpoints about 2 MB.
const METRICS_LIMIT_BYTES: usize = 4 << 20;

/// The timeout of one reading.
const READING_TIMEOUT: Duration = Duration::from_secs(5);

/// Reads a small document from a server, with limits on size and time.
pub async fn get(http: &reqwest::Client, url: &Url) -> Result<String> {
    read(http, url, DOCUMENT_LIMIT_BYTES).await
}

/// Reads a page of metrics from a server, with limits on size and time.
pub async fn metrics(http: &reqwest::Client, url: &Url) -> Result<String> {
    read(http, url, METRICS_LIMIT_BYTES).await
}

async fn read(http: &reqwest::Client, url: &Url, limit: usize) -> Result<String> {
    let read = async {
        let response = http.get(url.clone()).send().await;
        let response = response.map_err(|error| {
            machine::note(&error);
            error.without_url()
        })?;
        if !response.status().is_success() {
            bail!("answered {}", response.status());
        }
        let mut body = Vec::new();
        let mut chunks = response.bytes_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk?;
            if body.len() + chunk.len() > limit {
                bail!("answered with more than {limit} bytes");
            }
            body.extend_from_slice(&chunk);
        }
        // Without a copy, unless it is no text.
        let text = String::from_utf8(body);
        Ok(text.unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
    };
    tokio::time::timeout(READING_TIMEOUT, read)
        .await
        .map_err(|_| anyhow::anyhow!("no answer within {READING_TIMEOUT:?}"))
        .and_then(|read| read)
        .with_context(|| format!("reading {}", without_login(url)))
}
