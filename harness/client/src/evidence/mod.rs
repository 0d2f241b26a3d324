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

/// The largest document that is read, in bytes.
const DOCUMENT_LIMIT_BYTES: usize = 16 << 20;

/// The timeout of one reading.
const READING_TIMEOUT: Duration = Duration::from_secs(5);

/// Reads a small document from a server, with limits on size and time.
pub async fn get(http: &reqwest::Client, url: &Url) -> Result<String> {
    let read = async {
        let response = http.get(url.clone()).send().await;
        let response = response.map_err(reqwest::Error::without_url)?;
        if !response.status().is_success() {
            bail!("answered {}", response.status());
        }
        let mut body = Vec::new();
        let mut chunks = response.bytes_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk?;
            if body.len() + chunk.len() > DOCUMENT_LIMIT_BYTES {
                bail!("answered with more than {DOCUMENT_LIMIT_BYTES} bytes");
            }
            body.extend_from_slice(&chunk);
        }
        Ok(String::from_utf8_lossy(&body).into_owned())
    };
    tokio::time::timeout(READING_TIMEOUT, read)
        .await
        .map_err(|_| anyhow::anyhow!("no answer within {READING_TIMEOUT:?}"))
        .and_then(|read| read)
        .with_context(|| format!("reading {}", without_login(url)))
}
