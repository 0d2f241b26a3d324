//! Ballast: load sent directly to chosen endpoints, to keep them busy while probes go through the gateway.

mod load;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rand::RngExt;
use tokio::task::JoinHandle;

use crate::context::Context;
use poolproof_client::evidence::control;
use poolproof_client::evidence::endpoint::{self, Reading};
use poolproof_client::poll;
use poolproof_model::target::Endpoint;

pub use crate::placed::wait_until_idle;
use load::{Load, keep_up};

/// The number of requests that fill a KV cache. It is large enough that a picker sees no gap when one of them ends. It is
/// small enough that small servers run all of them.
const KV_REQUESTS: f64 = 5.0;

/// The largest number of ballast requests to one endpoint.
const REQUESTS_MAX: u64 = 4096;

/// Load on one endpoint. It is topped up until it is released or dropped.
#[derive(Debug)]
pub struct Ballast {
    endpoint: Endpoint,
    http: reqwest::Client,
    drain: Duration,
    load: Load,
    source: Source,
    tasks: Vec<JoinHandle<()>>,
}

/// The source from which the load of an endpoint is read while ballast is added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Its metrics.
    Metrics,
    /// Its control API, for cases that make its metrics lie.
    Control,
}

impl Ballast {
    /// Loads an endpoint until `waiting` requests wait there.
    pub async fn waiting(
        ctx: &Context,
        endpoint: &Endpoint,
        model: &str,
        waiting: u64,
    ) -> Result<Self> {
        Self::waiting_by(ctx, endpoint, model, waiting, Source::Metrics).await
    }

    /// Like [`Ballast::waiting`], with another source than the endpoint's metrics.
    pub async fn waiting_by(
        ctx: &Context,
        endpoint: &Endpoint,
        model: &str,
        waiting: u64,
        source: Source,
    ) -> Result<Self> {
        let load = Load::measure(ctx, endpoint, model, 8).await?;
        let mut ballast = Self::none(ctx, endpoint, load);
        ballast.source = source;
        ballast.raise(ctx, waiting).await?;
        Ok(ballast)
    }

    /// Adds load until `waiting` requests wait at the endpoint.
    pub async fn raise(&mut self, ctx: &Context, waiting: u64) -> Result<()> {
        let filled = self.fill(ctx, waiting, |reading| reading.waiting >= waiting as f64);
        filled.await.with_context(|| {
            let endpoint = &self.endpoint.name;
            format!("{waiting} requests waiting at endpoint {endpoint}")
        })
    }

    /// Fills the KV cache of an endpoint to at least this share, with long prompts that do not wait.
    pub async fn kv_usage(
        ctx: &Context,
        endpoint: &Endpoint,
        model: &str,
        usage: f64,
    ) -> Result<Self> {
        let reading = endpoint::read(&ctx.http, endpoint).await?;
        let capacity = reading.kv_capacity_tokens.with_context(|| {
            format!(
                "endpoint {} does not export the size of its KV cache",
                endpoint.name
            )
        })?;
        let prompt_tokens = (capacity * usage / KV_REQUESTS) as usize;
        let load = Load::measure(ctx, endpoint, model, prompt_tokens).await?;
        let mut ballast = Self::none(ctx, endpoint, load);
        ballast
            .fill(ctx, 1, |reading| reading.kv_usage >= usage)
            .await
            .with_context(|| format!("KV usage {usage} of endpoint {}", endpoint.name))?;
        Ok(ballast)
    }

    /// Removes the load and waits until the endpoint is idle.
    pub async fn release(self) -> Result<()> {
        let (http, endpoint, drain) = (self.http.clone(), self.endpoint.clone(), self.drain);
        drop(self);
        wait_until_idle(&http, &endpoint, drain).await
    }

    fn none(ctx: &Context, endpoint: &Endpoint, load: Load) -> Self {
        ctx.ballast.add(endpoint);
        Self {
            endpoint: endpoint.clone(),
            http: ctx.http.clone(),
            drain: ctx.timeouts.drain,
            load,
            source: Source::Metrics,
            tasks: Vec::new(),
        }
    }

    /// The number of requests that it keeps open.
    pub fn requests(&self) -> usize {
        self.tasks.len()
    }

    async fn read(&self) -> Result<Reading> {
        match self.source {
            Source::Metrics => endpoint::read(&self.http, &self.endpoint).await,
            Source::Control => {
                let state = control::state(&self.http, &self.endpoint).await?;
                Ok(Reading {
                    waiting: state.waiting as f64,
                    running: state.running as f64,
                    ..Reading::default()
                })
            }
        }
    }

    /// Adds `step` requests at a time, and waits each time until the endpoint counts all of them.
    async fn fill(
        &mut self,
        ctx: &Context,
        step: u64,
        full: impl Fn(&Reading) -> bool,
    ) -> Result<()> {
        let deadline = Instant::now() + ctx.timeouts.fill;
        let seeds = Arc::new(AtomicU64::new(ctx.rng(&self.endpoint.name).random()));
        loop {
            let sent = self.tasks.len() as f64;
            let left = deadline.saturating_duration_since(Instant::now());
            let seen = poll::until("ballast is counted", left, poll::INTERVAL, || async {
                let reading = self.read().await.ok()?;
                (reading.waiting + reading.running >= sent || full(&reading)).then_some(reading)
            })
            .await;
            match seen {
                Ok(reading) if full(&reading) => {
                    // A new arrival counts as waiting until the next scheduling step. Only what still waits after that
                    // step is a queue.
                    tokio::time::sleep(self.load.step).await;
                    if self.read().await.is_ok_and(|reading| full(&reading)) {
                        return Ok(());
                    }
                }
                Ok(reading) => {
                    let missing = step.saturating_sub(reading.waiting as u64).max(1);
                    for _ in 0..missing {
                        let load = self.load.clone();
                        self.tasks.push(tokio::spawn(keep_up(load, seeds.clone())));
                    }
                }
                Err(_) => bail!(
                    "not reached within {:?} with {sent} requests",
                    ctx.timeouts.fill
                ),
            }
            ensure!(
                (self.tasks.len() as u64) < REQUESTS_MAX,
                "not reached with {REQUESTS_MAX} requests"
            );
        }
    }
}

impl Drop for Ballast {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests {
    use axum::Router;

    use super::*;

    /// An endpoint that answers as `app` does.
    pub(crate) async fn endpoint(
        app: Router,
    ) -> (Endpoint, tokio_util::task::AbortOnDropHandle<()>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let serving = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        let endpoint = Endpoint {
            name: "pod-0".to_owned(),
            url: Some(url.parse().unwrap()),
            control: None,
        };
        (endpoint, tokio_util::task::AbortOnDropHandle::new(serving))
    }
}
