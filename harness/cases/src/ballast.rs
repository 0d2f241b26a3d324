//! Ballast: load sent directly to chosen endpoints, to keep them busy while probes go through the gateway.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use futures_util::future::join_all;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::task::JoinHandle;

use crate::context::Context;
use poolproof_client::evidence::control;
use poolproof_client::evidence::endpoint::{self, Reading};
use poolproof_client::poll;
use poolproof_client::prompt::Texts;
use poolproof_client::{Api, Client, Connections, Request, payload};
use poolproof_model::target::Endpoint;

/// The approximate duration of one ballast request. Durations vary, so that requests do not end at the same time and
/// leave a gap.
const HOLD: Duration = Duration::from_secs(3);

/// The number of requests that fill a KV cache. It is large enough that a picker sees no gap when one of them ends. It is
/// small enough that small servers run all of them.
const KV_REQUESTS: f64 = 5.0;

/// The longest response that ballast requests, in tokens. It bounds the work of an endpoint that does not notice when
/// its client disconnects.
const TOKENS_MAX: u32 = 8192;

/// The largest number of ballast requests to one endpoint.
const REQUESTS_MAX: u64 = 4096;

/// The shortest wait for an endpoint to schedule new arrivals. A slow endpoint gets the time of its first token.
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

/// The source from which the load of an endpoint is read while ballast is added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Its metrics.
    Metrics,
    /// Its control API, for cases that make its metrics lie.
    Control,
}

/// The shape of ballast requests for one endpoint.
#[derive(Clone, Debug)]
struct Load {
    client: Client,
    model: Arc<str>,
    texts: Arc<Texts>,
    prompt_tokens: usize,
    max_tokens: u32,
    /// The time in which the endpoint schedules new arrivals.
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

/// Waits until no request runs or waits at an endpoint. The error contains the endpoint's name and its last counts.
pub async fn wait_until_idle(
    http: &reqwest::Client,
    endpoint: &Endpoint,
    timeout: Duration,
) -> Result<()> {
    let last = Mutex::new("it was not read".to_owned());
    let what = format!("endpoint {} is idle", endpoint.name);
    let idle = poll::until(what, timeout, poll::INTERVAL, || async {
        let read = endpoint::read(http, endpoint).await;
        if let Ok(reading) = &read
            && reading.waiting + reading.running == 0.0
        {
            return Some(());
        }
        *lock(&last) = counts(&read);
        None
    });
    idle.await.with_context(|| lock(&last).clone())
}

/// Ballast placed by the cases of a run that is not yet confirmed to be gone.
#[derive(Debug, Default)]
pub(crate) struct Placed(Mutex<Vec<Endpoint>>);

impl Placed {
    fn add(&self, endpoint: &Endpoint) {
        let mut placed = lock(&self.0);
        if !placed.iter().any(|other| other.name == endpoint.name) {
            placed.push(endpoint.clone());
        }
    }

    /// Waits until every endpoint that had ballast is idle. Endpoints that are not idle after `timeout` stay on the
    /// list. The error contains their names and counts.
    pub(crate) async fn gone(&self, http: &reqwest::Client, timeout: Duration) -> Result<()> {
        let placed = lock(&self.0).clone();
        let waits = placed
            .iter()
            .map(|endpoint| withdrawn(http, endpoint, timeout));
        let left = join_all(waits).await;
        let left = placed
            .into_iter()
            .zip(left)
            .filter_map(|(endpoint, left)| Some((endpoint, left.err()?)));
        let (left, counts): (Vec<Endpoint>, Vec<String>) = left
            .map(|(endpoint, error)| (endpoint, format!("{error:#}")))
            .unzip();
        *lock(&self.0) = left;
        ensure!(counts.is_empty(), "{}", counts.join("; "));
        Ok(())
    }
}

/// Waits until an endpoint is idle. Prefers its control API, because a case may have made the metrics lie.
async fn withdrawn(http: &reqwest::Client, endpoint: &Endpoint, timeout: Duration) -> Result<()> {
    if endpoint.control.is_none() {
        return wait_until_idle(http, endpoint, timeout).await;
    }
    let what = format!("endpoint {} is idle", endpoint.name);
    let idle = poll::until(what, timeout, poll::INTERVAL, || async {
        let state = control::state(http, endpoint).await.ok()?;
        (state.waiting + state.running == 0).then_some(())
    });
    match idle.await {
        Ok(()) => Ok(()),
        Err(timed_out) => {
            let read = control::state(http, endpoint).await;
            let read = read.map(|state| Reading {
                waiting: state.waiting as f64,
                running: state.running as f64,
                ..Reading::default()
            });
            bail!("{timed_out}: {}", counts(&read))
        }
    }
}

/// The counts of an endpoint, for messages.
fn counts(read: &Result<Reading>) -> String {
    match read {
        Ok(reading) => format!("{} running, {} waiting", reading.running, reading.waiting),
        Err(error) => format!("{error:#}"),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // A panic while the lock was held cannot leave the value half changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sends one request after the other until it is aborted.
async fn keep_up(load: Load, seeds: Arc<AtomicU64>) {
    loop {
        let mut rng = ChaCha8Rng::seed_from_u64(seeds.fetch_add(1, Ordering::Relaxed));
        let exchange = load.client.send(load.request(&mut rng)).await;
        if !exchange.is_success() {
            // Avoids a tight loop against an endpoint that refuses. The watch over its load shows the gap.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Load {
    /// Determines the number of tokens that take [`HOLD`], from the duration of a few tokens.
    async fn measure(
        ctx: &Context,
        endpoint: &Endpoint,
        model: &str,
        prompt_tokens: usize,
    ) -> Result<Self> {
        const FEW_TOKENS: u32 = 17;
        const MANY_TOKENS: u32 = 1088;
        /// The smallest difference between a short and a longer response that is not attributed to chance.
        const DIFFERENCE_MIN: Duration = Duration::from_millis(5);
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
        let mut took = async |load: &mut Self, tokens: u32| {
            load.max_tokens = tokens;
            let request = load.request(&mut rng).timeout(ctx.timeouts.request);
            let exchange = load.client.send(request).await;
            ensure!(
                exchange.is_success(),
                "endpoint {} does not serve model {model}: {}",
                endpoint.name,
                exchange.describe()
            );
            Ok(exchange.latency())
        };
        // The first request opens the connection. Through the API of a cluster, that takes longer than many tokens.
        // Without this step, tokens seemed free, and ballast requests took minutes and outlived the case.
        took(&mut load, 1).await?;
        let first = took(&mut load, 1).await?;
        let mut tokens = FEW_TOKENS;
        let more = loop {
            let more = took(&mut load, tokens).await?.saturating_sub(first);
            if more >= DIFFERENCE_MIN || tokens >= MANY_TOKENS {
                break more;
            }
            tokens *= 4;
        };
        let per_token = more / (tokens - 1);
        let tokens = HOLD.as_secs_f64() / per_token.as_secs_f64().max(1e-6);
        load.max_tokens = (tokens as u32).clamp(FEW_TOKENS, TOKENS_MAX);
        load.prompt_tokens = prompt_tokens;
        load.step = first.max(STEP_MIN);
        Ok(load)
    }

    fn request(&self, rng: &mut impl Rng) -> Request {
        let mut prompt = poolproof_client::nonce(rng).into_bytes();
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use axum::routing::{get, post};
    use axum::{Json, Router};
    use serde_json::{Value, json};

    use super::*;
    use crate::budget::Rates;
    use crate::context::Timeouts;
    use poolproof_model::target::Target;
    use poolproof_model::topology::Topology;

    async fn endpoint(app: Router) -> (Endpoint, tokio_util::task::AbortOnDropHandle<()>) {
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

    fn context() -> Context {
        let target = Target::planned(&Topology::default()).unwrap();
        let rates = Rates {
            alpha: 1e-4,
            power: 0.99,
            split_tolerance: 0.03,
        };
        Context::new(target.into(), Timeouts::default(), 1, rates, "a/case", 0).unwrap()
    }

    #[tokio::test]
    async fn a_slow_connection_setup_does_not_make_ballast_longer() {
        const PER_TOKEN: Duration = Duration::from_millis(2);
        const SETUP: Duration = Duration::from_millis(300);
        let asked = Arc::new(AtomicU64::new(0));
        let complete = move |Json(body): Json<Value>| async move {
            if asked.fetch_add(1, Ordering::SeqCst) == 0 {
                tokio::time::sleep(SETUP).await;
            }
            let tokens = body["max_tokens"].as_u64().unwrap() as u32;
            tokio::time::sleep(PER_TOKEN * tokens).await;
            Json(json!({"choices": [{"text": "a", "finish_reason": "length"}]}))
        };
        let (endpoint, _serving) =
            endpoint(Router::new().route("/v1/completions", post(complete))).await;
        let load = Load::measure(&context(), &endpoint, "m", 8).await.unwrap();
        let longest = HOLD.as_secs_f64() / PER_TOKEN.as_secs_f64();
        assert!(
            f64::from(load.max_tokens) <= longest * 1.5,
            "{} tokens take longer than {HOLD:?}",
            load.max_tokens
        );
    }

    #[tokio::test]
    async fn ballast_that_stays_is_named_with_its_counts_until_it_is_gone() {
        let running = Arc::new(AtomicU64::new(8));
        let shown = running.clone();
        let metrics = move || async move {
            let running = shown.load(Ordering::SeqCst);
            format!(
                "vllm:num_requests_waiting {}\nvllm:num_requests_running {running}\n",
                running * 3
            )
        };
        let (endpoint, _serving) = endpoint(Router::new().route("/metrics", get(metrics))).await;
        let (http, placed) = (poolproof_client::http(1).unwrap(), Placed::default());
        placed.add(&endpoint);
        for _ in 0..2 {
            let left = placed.gone(&http, Duration::from_millis(100)).await;
            let message = left.unwrap_err().to_string();
            assert!(
                message.contains("pod-0") && message.contains("8 running, 24 waiting"),
                "{message}"
            );
        }
        running.store(0, Ordering::SeqCst);
        placed.gone(&http, Duration::from_secs(5)).await.unwrap();
        running.store(1, Ordering::SeqCst);
        placed.gone(&http, Duration::ZERO).await.unwrap();
    }
}
