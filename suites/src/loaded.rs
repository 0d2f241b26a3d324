//! Probes through the gateway while chosen endpoints are busy with ballast.
//!
//! A probe counts only if its endpoints were loaded as arranged at every reading around it: one wrong pick queues behind
//! the ballast, and if the ballast drained meanwhile, the rest of the sample would judge an idle pool.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use futures_util::future::try_join_all;
use poolproof_harness::ballast::{Ballast, wait_until_idle};
use poolproof_harness::client::drive::{self, Sent};
use poolproof_harness::client::{Api, Client, Connections, Exchange, Request};
use poolproof_harness::context::Context;
use poolproof_harness::evidence::endpoint::Reading;
use poolproof_harness::evidence::watch::Watch;
use poolproof_harness::evidence::{scrapes, served};
use poolproof_harness::expect;
use poolproof_harness::stats::binomial::Plan;
use poolproof_harness::target::{Endpoint, Model, Pool};
use poolproof_harness::verdict::{Findings, Outcome};

/// How endpoints are made busy.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Load {
    /// So many requests wait there.
    Waiting(u64),
    /// This share of the KV cache is in use, and nothing waits.
    KvUsage(f64),
}

/// KV usage by which a busy endpoint must differ from every idle one.
const KV_CONTRAST: f64 = 0.15;

/// The share of probes that may be left out because the load around them was not as arranged.
const LEFT_OUT_MAX: f64 = 0.2;

/// The shortest time between two probes.
const INTERVAL_MIN: Duration = Duration::from_millis(4);

impl Load {
    /// Makes an endpoint busy.
    pub(crate) async fn put(
        self,
        ctx: &Context,
        endpoint: &Endpoint,
        model: &str,
    ) -> Result<Ballast> {
        match self {
            Self::Waiting(waiting) => Ballast::waiting(ctx, endpoint, model, waiting).await,
            Self::KvUsage(usage) => Ballast::kv_usage(ctx, endpoint, model, usage).await,
        }
    }

    /// Whether a reading is that of a busy, or of an idle endpoint.
    pub(crate) fn is_seen(self, busy: bool, reading: &Reading) -> bool {
        match (self, busy) {
            (Self::Waiting(_), true) => reading.waiting >= 1.0,
            (Self::Waiting(_), false) => reading.waiting == 0.0,
            (Self::KvUsage(usage), true) => {
                reading.kv_usage >= usage - KV_CONTRAST && reading.waiting == 0.0
            }
            (Self::KvUsage(usage), false) => {
                reading.kv_usage < usage - 2.0 * KV_CONTRAST && reading.waiting == 0.0
            }
        }
    }
}

/// What became of the probes.
pub(crate) struct Probes {
    busy: Vec<String>,
    counted: Vec<Exchange>,
    failed: Vec<Exchange>,
    left_out: usize,
    /// It failed even if every probe that was left out had been a right pick.
    failed_anyway: bool,
    doubt: Option<String>,
}

impl Probes {
    /// Makes the endpoints in `busy` busy, sends about `wanted` probes for the model, and takes the load away again.
    pub(crate) async fn send(
        ctx: &Context,
        model: &Model,
        busy: &[&str],
        load: Load,
        wanted: u64,
    ) -> Result<Self> {
        let endpoints: Vec<Endpoint> = model
            .weighted_pools()
            .flat_map(|pool| pool.endpoints.clone())
            .collect();
        let is_busy = |name: &str| busy.contains(&name);
        for endpoint in &endpoints {
            wait_until_idle(&ctx.http, endpoint, ctx.timeouts.drain).await?;
        }
        let client = ctx.client(Connections::KeepAlive)?;
        let interval = interval(ctx, &client, model, endpoints.len() - busy.len()).await?;

        let ballast = endpoints
            .iter()
            .filter(|endpoint| is_busy(&endpoint.name))
            .map(|endpoint| load.put(ctx, endpoint, &model.name));
        let ballast = try_join_all(ballast).await?;
        let watch = Watch::start(&ctx.http, &endpoints);
        tokio::time::sleep(ctx.timeouts.metrics_settle).await;

        let since_us = scrapes::now_us();
        let mut rng = ctx.rng(&format!("probes with {busy:?} busy"));
        let requests = (0..wanted).map(|_| {
            Request::new(Api::Completions, &model.name, 1, &mut rng).timeout(ctx.timeouts.case)
        });
        let sent = drive::open_loop(&client, interval, requests).await;
        let all_sent_at = Instant::now();
        let (answered, waiting) = settle(sent, ctx.timeouts.prompt_answer).await;
        watch.read_after(all_sent_at).await;
        let doubt = scrapes::starved(&ctx.http, &endpoints, since_us).await;
        for load in ballast {
            load.release().await?;
        }

        let as_arranged = |exchange: &Exchange| {
            // The picker decided by figures that were up to a few scrapes old.
            let from = exchange.sent_at - ctx.timeouts.metrics_settle / 2;
            let to = exchange.sent_at + interval;
            watch.held(from, to, |number, reading| {
                load.is_seen(is_busy(&endpoints[number].name), reading)
            })
        };
        let mut probes = Self {
            busy: busy.iter().map(|name| (*name).to_owned()).collect(),
            counted: Vec::new(),
            failed: Vec::new(),
            left_out: 0,
            failed_anyway: false,
            doubt,
        };
        for exchange in answered {
            match exchange.is_success() {
                true if as_arranged(&exchange) => probes.counted.push(exchange),
                true => probes.left_out += 1,
                false => probes.failed.push(exchange),
            }
        }
        // What was still waiting when all had been sent: behind ballast if a busy endpoint served it. If another one
        // did, it was held on its way and went when the ballast was gone, which says nothing.
        for task in waiting {
            let exchange = task.await?;
            let stuck = served::endpoint_of(&exchange).is_some_and(is_busy);
            match exchange.is_success() {
                true if stuck => probes.counted.push(exchange),
                true => probes.left_out += 1,
                false => probes.failed.push(exchange),
            }
        }
        Ok(probes)
    }

    /// Judges the share that the busy endpoints of a pool got; says how many picks and hits there were.
    pub(crate) fn judge(
        &mut self,
        pool: &Pool,
        plan: &Plan,
        of: String,
        findings: &mut Findings,
    ) -> (u64, u64) {
        let counts = served::by_endpoint(self.counted.iter());
        let of_endpoint = |name: &str| counts.get(name).copied().unwrap_or(0);
        let names = || pool.endpoints.iter().map(|endpoint| endpoint.name.as_str());
        let busy = names().filter(|name| self.busy.iter().any(|b| b == name));
        let (hits, picks) = (busy.map(of_endpoint).sum(), names().map(of_endpoint).sum());
        let charitable = plan.decide(of.as_str(), hits, picks + self.left_out as u64);
        self.failed_anyway |= charitable.observed > charitable.accepted.1;
        findings.add_statistic(plan.decide(of, hits, picks));
        (hits, picks)
    }

    /// Who served the probes that count.
    pub(crate) fn summary(&self) -> String {
        let counts = served::by_endpoint(self.counted.iter());
        format!("{} of {}", served::in_words(&counts), self.counted.len())
    }

    /// The outcome of a case by these findings, unless too few probes met the load that was arranged.
    pub(crate) fn conclude(&self, mut findings: Findings, summary: String) -> Result<Outcome> {
        for exchange in &self.failed {
            findings.add(expect::success("every probe", exchange));
        }
        let total = self.counted.len() + self.left_out;
        findings.note(format!(
            "{} of {total} probes met the load as arranged, by readings of the endpoints around each",
            self.counted.len()
        ));
        let lost = self.left_out as f64 / total.max(1) as f64;
        // A picker that is blind to load piles up requests, and so spoils what was arranged by itself.
        let doubt = match lost > LEFT_OUT_MAX && !self.failed_anyway {
            true => Some(format!(
                "{} of {total} probes did not meet the load as arranged",
                self.left_out
            )),
            false => None,
        };
        if let (Some(reason), false) = (&doubt, findings.failed()) {
            return Ok(Outcome::invalid(reason.clone()));
        }
        Ok(findings.outcome_unless(summary, doubt.or_else(|| self.doubt.clone())))
    }
}

/// A time between probes that keeps idle endpoints idle: by the time that one takes through the gateway.
pub(crate) async fn interval(
    ctx: &Context,
    client: &Client,
    model: &Model,
    idle_endpoints: usize,
) -> Result<Duration> {
    const SAMPLES: u32 = 8;
    let mut rng = ctx.rng("pace");
    let mut total = Duration::ZERO;
    for _ in 0..SAMPLES {
        let request = Request::new(Api::Completions, &model.name, 1, &mut rng);
        let exchange = client.send(request.timeout(ctx.timeouts.request)).await;
        ensure!(
            exchange.is_success(),
            "a request for {} on an idle stack: {}",
            model.name,
            exchange.describe()
        );
        total += exchange.latency();
    }
    Ok((total / SAMPLES / (2 * idle_endpoints.max(1)) as u32).max(INTERVAL_MIN))
}

/// The exchanges that ended within `grace`, and the tasks of those that did not.
async fn settle(sent: Vec<Sent>, grace: Duration) -> (Vec<Exchange>, Vec<Sent>) {
    let deadline = tokio::time::Instant::now() + grace;
    let (mut ended, mut open) = (Vec::new(), Vec::new());
    for mut task in sent {
        match tokio::time::timeout_at(deadline, &mut task).await {
            Ok(Ok(exchange)) => ended.push(exchange),
            // A send that panicked has said so on standard error; it counts as no probe.
            Ok(Err(_)) => {}
            Err(_) => open.push(task),
        }
    }
    (ended, open)
}
