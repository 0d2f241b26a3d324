//! Ballast: load sent straight to chosen endpoints, so that they are busy while probes go through the gateway.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::task::JoinHandle;

use crate::client::{Api, Client, Connections, Request, payload};
use crate::context::Context;
use crate::evidence::control;
use crate::evidence::endpoint::{self, Reading};
use crate::load::prompt::Texts;
use crate::poll;
use crate::target::Endpoint;

/// How long one request of ballast keeps its place, about. Requests are of differing lengths, so that they do not end
/// together and leave a gap.
const HOLD: Duration = Duration::from_secs(3);

/// The requests that fill a KV cache: so many that one of them can end without a gap that a picker would see, and so few that
/// small servers run them all.
const KV_REQUESTS: f64 = 5.0;

/// The longest answer that ballast asks for, in tokens: a bound on what an endpoint has to do that does not notice when
/// its client leaves.
const TOKENS_MAX: u32 = 8192;

/// The most requests that ballast sends to one endpoint.
const REQUESTS_MAX: u64 = 4096;

/// The least time for an endpoint to take in what has arrived; a slow one gets as long as its first token takes.
const STEP_MIN: Duration = Duration::from_millis(10);

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

/// By what the load of an endpoint is read while it is being put there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Its metrics.
    Metrics,
    /// Its control API, where its metrics are made to lie.
    Control,
}

/// What a request of ballast looks like on one endpoint.
#[derive(Clone, Debug)]
struct Load {
    client: Client,
    model: Arc<str>,
    texts: Arc<Texts>,
    prompt_tokens: usize,
    max_tokens: u32,
    /// A time in which an endpoint takes in what has arrived.
    step: Duration,
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

    /// The same, measured by another source than the endpoint's metrics.
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

    /// Adds load until `waiting` requests wait there.
    pub async fn raise(&mut self, ctx: &Context, waiting: u64) -> Result<()> {
        let filled = self.fill(ctx, waiting, |reading| reading.waiting >= waiting as f64);
        filled.await.with_context(|| {
            let endpoint = &self.endpoint.name;
            format!("{waiting} requests waiting at endpoint {endpoint}")
        })
    }

    /// Fills the KV cache of an endpoint to at least this share with long prompts that do not wait.
    pub async fn kv_usage(
        ctx: &Context,
        endpoint: &Endpoint,
        model: &str,
        usage: f64,
    ) -> Result<Self> {
        let reading = endpoint::read(&ctx.http, endpoint).await?;
        let capacity = reading.kv_capacity_tokens.with_context(|| {
            format!(
                "endpoint {} does not say how large its KV cache is",
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

    /// Takes the load away and waits until the endpoint is idle.
    pub async fn release(self) -> Result<()> {
        let (http, endpoint, drain) = (self.http.clone(), self.endpoint.clone(), self.drain);
        drop(self);
        wait_until_idle(&http, &endpoint, drain).await
    }

    fn none(ctx: &Context, endpoint: &Endpoint, load: Load) -> Self {
        Self {
            endpoint: endpoint.clone(),
            http: ctx.http.clone(),
            drain: ctx.timeouts.drain,
            load,
            source: Source::Metrics,
            tasks: Vec::new(),
        }
    }

    /// How many requests it keeps there.
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

    /// Adds `step` requests at a time, each time waiting until the endpoint counts all of them.
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
                    // What has just arrived waits until the next step takes it in: only what still waits then is a queue.
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

/// Waits until nothing runs and nothing waits at an endpoint.
pub async fn wait_until_idle(
    http: &reqwest::Client,
    endpoint: &Endpoint,
    timeout: Duration,
) -> Result<()> {
    let what = format!("endpoint {} is idle", endpoint.name);
    let idle = poll::until(what, timeout, poll::INTERVAL, || async {
        let reading = endpoint::read(http, endpoint).await.ok()?;
        (reading.waiting + reading.running == 0.0).then_some(())
    });
    Ok(idle.await?)
}

/// Sends one request after the other, for as long as it is not aborted.
async fn keep_up(load: Load, seeds: Arc<AtomicU64>) {
    loop {
        let mut rng = ChaCha8Rng::seed_from_u64(seeds.fetch_add(1, Ordering::Relaxed));
        let exchange = load.client.send(load.request(&mut rng)).await;
        if !exchange.is_success() {
            // An endpoint that refuses must not be asked in a tight loop; the watch over its load shows the gap.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Load {
    /// Finds how many tokens keep a place for [`HOLD`], by the time that a few of them take.
    async fn measure(
        ctx: &Context,
        endpoint: &Endpoint,
        model: &str,
        prompt_tokens: usize,
    ) -> Result<Self> {
        const FEW_TOKENS: u32 = 17;
        let url = endpoint
            .url
            .as_ref()
            .with_context(|| format!("endpoint {} has no url", endpoint.name))?;
        let mut load = Self {
            client: ctx.client_of(url, Connections::KeepAlive)?,
            model: model.into(),
            texts: Arc::new(Texts::new(0, None)),
            prompt_tokens: 8,
            max_tokens: 1,
            step: Duration::ZERO,
        };
        let mut rng = ctx.rng("ballast");
        let mut took = [Duration::ZERO; 2];
        for (tokens, took) in [1, FEW_TOKENS].into_iter().zip(&mut took) {
            load.max_tokens = tokens;
            let request = load.request(&mut rng).timeout(ctx.timeouts.request);
            let exchange = load.client.send(request).await;
            ensure!(
                exchange.is_success(),
                "endpoint {} does not serve model {model}: {}",
                endpoint.name,
                exchange.describe()
            );
            *took = exchange.latency();
        }
        let per_token = took[1].saturating_sub(took[0]) / (FEW_TOKENS - 1);
        let tokens = HOLD.as_secs_f64() / per_token.as_secs_f64().max(1e-6);
        load.max_tokens = (tokens as u32).clamp(FEW_TOKENS, TOKENS_MAX);
        load.prompt_tokens = prompt_tokens;
        load.step = took[0].max(STEP_MIN);
        Ok(load)
    }

    fn request(&self, rng: &mut impl Rng) -> Request {
        let mut prompt = crate::client::nonce(rng).into_bytes();
        let words = self.prompt_tokens.saturating_sub(1) as u32;
        self.texts.append(&mut prompt, 0, words);
        let prompt = String::from_utf8_lossy(&prompt);
        let longest = self.max_tokens;
        let max_tokens = match longest {
            ..=32 => longest,
            _ => rng.random_range(longest / 2..=longest),
        };
        let body = payload(Api::Completions, (*self.model).into(), &prompt, max_tokens);
        Request::from_json(Api::Completions, &body).timeout(Duration::from_secs(600))
    }
}
