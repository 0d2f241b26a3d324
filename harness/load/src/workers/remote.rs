//! A coordinator's client of one worker.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use reqwest::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::clock::{Clock, Offset};
use super::{Assignment, HandedOver, Progress};
use poolproof_client as client;

/// Small requests are answered at once; a longer wait means that the worker or the network hangs.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);
/// A worker opens its connections before it answers, each of which may take ten seconds.
const ASSIGN_TIMEOUT: Duration = Duration::from_secs(60);
/// A result may be long, and the network slow.
const RESULT_TIMEOUT: Duration = Duration::from_secs(120);
/// How often a clock is read; the quickest answer counts.
const CLOCK_READINGS: usize = 10;

/// A client of a worker.
pub(super) struct Remote {
    http: reqwest::Client,
    url: Url,
}

impl Remote {
    /// The worker that listens there.
    pub(super) fn new(url: &Url) -> Result<Self> {
        Ok(Self {
            http: client::http(1)?,
            url: url.clone(),
        })
    }

    /// How far its clock is from ours.
    pub(super) async fn offset(&self, clock: &Clock) -> Result<Offset> {
        let mut best: Option<Offset> = None;
        for _ in 0..CLOCK_READINGS {
            let asked_us = clock.now_us();
            let theirs_us: i64 = self.get("clock", ASK_TIMEOUT).await?;
            let found = Offset::of(asked_us, theirs_us, clock.now_us());
            if best.is_none_or(|best| found.uncertainty_us < best.uncertainty_us) {
                best = Some(found);
            }
        }
        best.context("its clock was not read")
    }

    /// Sends its assignment; the worker is ready when this returns.
    pub(super) async fn assign(&self, assignment: &Assignment) -> Result<()> {
        self.post("assignment", assignment, ASSIGN_TIMEOUT).await
    }

    /// Sets when it starts, by its own clock.
    pub(super) async fn start(&self, at_us: i64) -> Result<()> {
        self.post("start", &at_us, ASK_TIMEOUT).await
    }

    /// Ends its sending.
    pub(super) async fn stop(&self) -> Result<()> {
        self.post("stop", &(), ASK_TIMEOUT).await
    }

    /// Its progress.
    pub(super) async fn progress(&self) -> Result<Progress> {
        self.get("progress", ASK_TIMEOUT).await
    }

    /// Its measurements.
    pub(super) async fn result(&self) -> Result<HandedOver> {
        self.get("result", RESULT_TIMEOUT).await
    }

    async fn get<T: DeserializeOwned>(&self, what: &str, timeout: Duration) -> Result<T> {
        let said = self.ask(Method::GET, what, Vec::new(), timeout).await?;
        serde_json::from_slice(&said).with_context(|| format!("its {what} cannot be read"))
    }

    async fn post(&self, what: &str, told: &impl Serialize, timeout: Duration) -> Result<()> {
        let body = serde_json::to_vec(told).context("writing the message for a worker")?;
        self.ask(Method::POST, what, body, timeout).await?;
        Ok(())
    }

    async fn ask(
        &self,
        method: Method,
        what: &str,
        body: Vec<u8>,
        timeout: Duration,
    ) -> Result<Vec<u8>> {
        let ask = async {
            let answer = self
                .http
                .request(method, self.url.join(what)?)
                .header("content-type", "application/json")
                .body(body)
                .timeout(timeout)
                .send()
                .await?;
            let status = answer.status();
            let said = answer.bytes().await?;
            if !status.is_success() {
                bail!("{}", String::from_utf8_lossy(&said));
            }
            anyhow::Ok(said.to_vec())
        };
        ask.await.with_context(|| what.to_owned())
    }
}
