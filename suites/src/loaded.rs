//! Probes through the gateway while chosen endpoints are busy with ballast.
//!
//! A probe counts only if the readings around it show the load that was arranged: one wrong pick queues behind the ballast,
//! and if the ballast drained meanwhile, the rest of the sample would judge an idle pool. What does not count is sent again,
//! whatever became of it, until the sample is as large as planned.

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

/// How often probes that did not count are made up for.
const ROUNDS: usize = 4;

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

    /// Whether endpoints differed as arranged all the time. What is idle may have a queue for a moment, as long as it is
    /// shorter than that of whatever is busy: a picker goes by the order of queues, not by their size.
    fn is_seen(self, busy: &[Around], idle: &[Around]) -> bool {
        let (mut busy, mut idle) = (busy.iter(), idle.iter());
        match self {
            Self::Waiting(_) => {
                let shortest = busy.map(|it| it.waiting.0).fold(f64::INFINITY, f64::min);
                shortest >= 1.0 && idle.all(|it| it.waiting.1 < shortest)
            }
            // A queue anywhere is another reason for a pick; with one idle endpoint free of it, the KV cache decides.
            Self::KvUsage(usage) => {
                let free = idle.clone().any(|it| it.waiting.1 == 0.0);
                let is_full = |it: &Around| it.kv_usage.0 >= usage - KV_CONTRAST;
                free && busy.all(|it| is_full(it) && it.waiting.1 == 0.0)
                    && idle.all(|it| it.kv_usage.1 < usage - 2.0 * KV_CONTRAST)
            }
        }
    }
}

/// What the readings of an endpoint around a probe say: the least and the most.
#[derive(Clone, Copy, Debug)]
struct Around {
    waiting: (f64, f64),
    kv_usage: (f64, f64),
}

impl Around {
    fn new(readings: &[Reading]) -> Self {
        let range = |value: fn(&Reading) -> f64| {
            let values = readings.iter().map(value);
            values.fold((f64::INFINITY, 0.0_f64), |(least, most), value| {
                (least.min(value), most.max(value))
            })
        };
        Self {
            waiting: range(|reading| reading.waiting),
            kv_usage: range(|reading| reading.kv_usage),
        }
    }
}

/// What became of the probes.
pub(crate) struct Probes {
    busy: Vec<String>,
    wanted: u64,
    counted: Vec<Exchange>,
    failed: Vec<Exchange>,
    left_out: usize,
    /// Why the first of them was left out.
    left_out_for: Option<String>,
    /// It failed even if every probe that was left out had been a right pick.
    failed_anyway: bool,
    doubt: Option<String>,
}

impl Probes {
    /// Makes the endpoints in `busy` busy, sends probes for the model until `wanted` of them count, and takes the load away
    /// again.
    pub(crate) async fn send(
        ctx: &Context,
        model: &Model,
        busy: &[&str],
        load: Load,
        wanted: u64,
    ) -> Result<Self> {
        let (busy_endpoints, idle_endpoints): (Vec<Endpoint>, Vec<Endpoint>) = model
            .weighted_pools()
            .flat_map(|pool| pool.endpoints.clone())
            .partition(|endpoint| busy.contains(&endpoint.name.as_str()));
        let endpoints = [busy_endpoints.as_slice(), &idle_endpoints].concat();
        for endpoint in &endpoints {
            wait_until_idle(&ctx.http, endpoint, ctx.timeouts.drain).await?;
        }
        let client = ctx.client(Connections::KeepAlive)?;
        let interval = interval(ctx, &client, model, idle_endpoints.len()).await?;

        let ballast = busy_endpoints
            .iter()
            .map(|endpoint| load.put(ctx, endpoint, &model.name));
        let ballast = try_join_all(ballast).await?;
        let watch = Watch::start(&ctx.http, &endpoints);
        tokio::time::sleep(ctx.timeouts.metrics_settle).await;

        let mut probes = Self {
            busy: busy.iter().map(|name| (*name).to_owned()).collect(),
            wanted,
            counted: Vec::new(),
            failed: Vec::new(),
            left_out: 0,
            left_out_for: None,
            failed_anyway: false,
            doubt: None,
        };
        let not_as_arranged = |exchange: &Exchange| {
            // The picker decided by figures that were up to a few scrapes old.
            let from = exchange.sent_at - ctx.timeouts.metrics_settle / 2;
            let to = exchange.sent_at + interval;
            not_as_arranged(&watch, &endpoints, busy.len(), load, from, to)
        };
        let since_us = scrapes::now_us();
        let mut rng = ctx.rng(&format!("probes with {busy:?} busy"));
        let mut open = Vec::new();
        for _ in 0..ROUNDS {
            let missing = wanted.saturating_sub((probes.counted.len() + open.len()) as u64);
            if missing == 0 || !probes.failed.is_empty() {
                break;
            }
            let requests = (0..missing + missing / 8).map(|_| {
                let request = Request::new(Api::Completions, &model.name, 1, &mut rng);
                request.timeout(ctx.timeouts.case)
            });
            let sent = drive::open_loop(&client, interval, requests).await;
            let all_sent_at = Instant::now();
            let (answered, waiting) = settle(sent, ctx.timeouts.prompt_answer).await;
            watch.read_after(all_sent_at + interval).await;
            for exchange in answered {
                let reason = not_as_arranged(&exchange);
                probes.add(exchange, reason);
            }
            open.extend(waiting);
        }
        probes.doubt = scrapes::starved(&ctx.http, &endpoints, since_us).await;
        for load in ballast {
            load.release().await?;
        }
        // What was still waiting when all had been sent: behind ballast if a busy endpoint served it. If another one
        // did, it was held on its way and went when the ballast was gone, which says nothing.
        for task in open {
            let exchange = task.await?;
            let stuck = served::endpoint_of(&exchange).is_some_and(|name| busy.contains(&name));
            let reason = (!stuck).then(|| "held on its way".to_owned());
            probes.add(exchange, reason);
        }
        Ok(probes)
    }

    /// Adds a probe that was answered, which does not count if there is a reason against it.
    fn add(&mut self, exchange: Exchange, reason: Option<String>) {
        match (exchange.is_success(), reason) {
            (false, _) => self.failed.push(exchange),
            (true, None) => self.counted.push(exchange),
            (true, Some(reason)) => {
                self.left_out += 1;
                self.left_out_for.get_or_insert(reason);
            }
        }
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
        let (counted, total) = (self.counted.len(), self.counted.len() + self.left_out);
        findings.note(format!(
            "{counted} of {total} probes met the load as arranged, by readings of the endpoints around each"
        ));
        // A picker that is blind to load piles up requests, and so spoils what was arranged by itself.
        let too_few = (counted as u64) < self.wanted && !self.failed_anyway;
        let doubt = too_few.then(|| {
            format!(
                "{counted} of {total} probes met the load as arranged, {} are needed; the first that did not: {}",
                self.wanted,
                self.left_out_for.as_deref().unwrap_or("not answered")
            )
        });
        match doubt {
            Some(reason) if !findings.failed() => Ok(Outcome::invalid(reason)),
            doubt => Ok(findings.outcome_unless(summary, doubt.or_else(|| self.doubt.clone()))),
        }
    }
}

/// How the load of endpoints, of which the first ones are busy, was not as arranged at some time between; `None` if it was.
fn not_as_arranged(
    watch: &Watch,
    endpoints: &[Endpoint],
    busy: usize,
    load: Load,
    from: Instant,
    to: Instant,
) -> Option<String> {
    let mut around = Vec::new();
    for (number, endpoint) in endpoints.iter().enumerate() {
        match watch.readings(number, from, to) {
            Some(readings) => around.push(Around::new(&readings)),
            None => return Some(format!("{} was not read around it", endpoint.name)),
        }
    }
    let (busy, idle) = around.split_at(busy);
    let in_words = || {
        let words = endpoints.iter().zip(&around).map(|(endpoint, it)| {
            let (waiting, kv_usage) = (it.waiting, it.kv_usage);
            format!(
                "{} {} to {} waiting, KV usage {:.2} to {:.2}",
                endpoint.name, waiting.0, waiting.1, kv_usage.0, kv_usage.1
            )
        });
        words.collect::<Vec<_>>().join("; ")
    };
    (!load.is_seen(busy, idle)).then(in_words)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn around(waiting: [f64; 2], kv_usage: f64) -> Around {
        Around {
            waiting: (waiting[0], waiting[1]),
            kv_usage: (kv_usage, kv_usage),
        }
    }

    #[test]
    fn queues_differ_as_long_as_the_shortest_busy_one_is_longer_than_any_idle_one() {
        let load = Load::Waiting(3);
        let busy = [around([2.0, 3.0], 0.0), around([3.0, 4.0], 0.0)];
        assert!(load.is_seen(&busy, &[around([0.0, 0.0], 0.0)]));
        assert!(load.is_seen(&busy, &[around([0.0, 1.0], 0.0)]));
        assert!(!load.is_seen(&busy, &[around([0.0, 2.0], 0.0)]));
        assert!(!load.is_seen(&[around([0.0, 3.0], 0.0)], &[around([0.0, 0.0], 0.0)]));
    }

    #[test]
    fn kv_usage_decides_only_where_no_queue_does() {
        let load = Load::KvUsage(0.5);
        let free = around([0.0, 0.0], 0.01);
        let queued = around([0.0, 1.0], 0.01);
        let busy = around([0.0, 0.0], 0.45);
        assert!(load.is_seen(&[busy], &[free, queued]));
        assert!(!load.is_seen(&[busy], &[queued, queued]));
        assert!(!load.is_seen(&[around([0.0, 1.0], 0.45)], &[free, free]));
        assert!(!load.is_seen(&[around([0.0, 0.0], 0.2)], &[free, free]));
        assert!(!load.is_seen(&[busy], &[free, around([0.0, 0.0], 0.3)]));
    }
}
