//! The control API of a poolproof model server: its state, its settings, its log of requests, its log of scrapes.

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::get;
use poolproof_model::target::Endpoint;

/// The state of a model server.
#[derive(Clone, Debug, Deserialize)]
pub struct State {
    /// Waiting requests.
    pub waiting: u64,
    /// Running requests.
    pub running: u64,
    /// Completion requests received since its start, whether served or not.
    pub requests_total: u64,
}

/// A completion request in the log.
#[derive(Clone, Debug, Deserialize)]
pub struct LoggedRequest {
    /// The id set by the client.
    pub id: Option<String>,
    /// The model that it asked for, if the server could read it.
    #[serde(default)]
    pub model: Option<String>,
    /// The arrival time, in microseconds since the Unix epoch.
    pub arrived_us: u64,
    /// The time of its end, in microseconds since the Unix epoch.
    #[serde(default)]
    pub finished_us: Option<u64>,
    /// How it ended.
    #[serde(default)]
    pub outcome: Outcome,
    /// The status of its response.
    #[serde(default)]
    pub status: Option<u16>,
    /// The tokens of its prompt.
    #[serde(default)]
    pub prompt_tokens: u64,
}

/// How a completion request ended at its endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It has not ended yet.
    #[default]
    Open,
    /// The endpoint sent its whole response.
    Done,
    /// The client left first.
    Aborted,
    /// The endpoint refused it with an error.
    Refused,
    /// A fault that was asked for ended it.
    Faulted,
}

/// A request as it arrived at an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Received {
    /// The id set by the client.
    pub id: String,
    /// The method.
    pub method: String,
    /// The path with the query.
    pub path: String,
    /// The HTTP version, such as `HTTP/1.1`.
    pub version: String,
    /// Names in lower case, in the order of arrival.
    pub headers: Vec<(String, String)>,
    /// The length of the body.
    pub body_bytes: usize,
    /// XXH64 of the body, with seed 0, in hexadecimal digits.
    pub body_xxh64: String,
    /// The body, if it is UTF-8 and at most 1 MiB long; up to 8 MiB where one request is asked for by its whole id.
    pub body: Option<String>,
}

#[derive(Deserialize)]
struct Requests {
    requests: Vec<LoggedRequest>,
}

#[derive(Deserialize)]
struct Inbox {
    received: Vec<Received>,
}

#[derive(Deserialize)]
struct Scrapes {
    scrapes_us: Vec<u64>,
}

/// Reads the state of an endpoint.
pub async fn state(http: &reqwest::Client, endpoint: &Endpoint) -> Result<State> {
    read(http, endpoint, "state").await
}

/// Reads the completion requests in the log. The log is bounded.
pub async fn requests(http: &reqwest::Client, endpoint: &Endpoint) -> Result<Vec<LoggedRequest>> {
    let log: Requests = read(http, endpoint, "requests").await?;
    Ok(log.requests)
}

/// Reads the requests of a client as they arrived, by the start of their ids ([`crate::Client::id_prefix`]). The server keeps a
/// bounded number of requests and bytes.
pub async fn received(
    http: &reqwest::Client,
    endpoint: &Endpoint,
    id_prefix: &str,
) -> Result<Vec<Received>> {
    let inbox: Inbox = read(http, endpoint, &format!("received?prefix={id_prefix}")).await?;
    Ok(inbox.received)
}

/// Reads the times of the scrapes of its `/metrics` since a given time. All times are in microseconds since the Unix
/// epoch.
pub async fn scrapes_us(
    http: &reqwest::Client,
    endpoint: &Endpoint,
    since_us: u64,
) -> Result<Vec<u64>> {
    let log: Scrapes = read(http, endpoint, &format!("scrapes?since_us={since_us}")).await?;
    Ok(log.scrapes_us)
}

/// Reads the settings.
pub async fn settings(http: &reqwest::Client, endpoint: &Endpoint) -> Result<Value> {
    #[derive(Deserialize)]
    struct Settings {
        settings: Value,
    }
    let state: Settings = read(http, endpoint, "state").await?;
    Ok(state.settings)
}

/// Changes some of the settings.
pub async fn change_settings(
    http: &reqwest::Client,
    endpoint: &Endpoint,
    settings: &Value,
) -> Result<()> {
    let url = address(endpoint, "settings")?;
    let response = http.patch(url).json(settings).send().await?;
    if !response.status().is_success() {
        let status = response.status();
        let text = response.text().await.unwrap_or_default();
        bail!(
            "endpoint {}: settings {settings}: {status} {text}",
            endpoint.name
        );
    }
    Ok(())
}

async fn read<T: DeserializeOwned>(
    http: &reqwest::Client,
    endpoint: &Endpoint,
    what: &str,
) -> Result<T> {
    let text = get(http, &address(endpoint, what)?).await?;
    serde_json::from_str(&text).with_context(|| format!("{what} of endpoint {}", endpoint.name))
}

fn address(endpoint: &Endpoint, what: &str) -> Result<url::Url> {
    let control = endpoint
        .control
        .as_ref()
        .with_context(|| format!("endpoint {} has no control url", endpoint.name))?;
    let base = control.as_str().trim_end_matches('/');
    Ok(format!("{base}/{what}").parse()?)
}
