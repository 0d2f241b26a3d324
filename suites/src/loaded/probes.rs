//! Sends probes while the load is there, and keeps those that count apart from the others.

use std::time::{Duration, Instant};

use anyhow::Result;
use futures_util::future::try_join_all;
use poolproof_cases::ballast::wait_until_idle;
use poolproof_cases::context::Context;
use poolproof_client::drive::{self, Sent};
use poolproof_client::evidence::watch::Watch;
use poolproof_client::evidence::{scrapes, served};
use poolproof_client::{Connections, Exchange, Request, nonce, payload};
use poolproof_model::target::{Endpoint, Model, Pool};
use poolproof_stats::sequential::Progress;
use rand::Rng;

use super::PoolTest;
use super::arranged::{Load, not_as_arranged};
use super::pace::interval;
use crate::mix::{Kind, Mix, requests_for};

/// Rounds of probes in a cycle: some more than a test has looks, for probes that do not count.
const ROUNDS: usize = 60;

/// The kind of probes with a prefix: only prompts of one API share one.
const PREFIXED: Kind = Kind::ALL[0];
/// The nonces, of 64 bytes each, that follow the prefix of a probe: 2 KiB.
const OWN_NONCES: usize = 32;

/// A probe that was answered.
pub(super) struct Probe {
    pub(super) exchange: Exchange,
    pub(super) kind: Kind,
    /// Why it does not count, if it does not.
    pub(super) reason: Option<String>,
}

/// What became of the probes.
pub(super) struct Probes<'a> {
    pub(super) ctx: &'a Context,
    pub(super) model: &'a Model,
    pub(super) busy: &'a [&'a str],
    pub(super) load: Load,
    pub(super) tests: &'a [PoolTest<'a>],
    /// What prompts begin with, in turn; none: every prompt is unlike any other.
    pub(super) prefixes: &'a [String],
    /// Probes with a prefix so far.
    pub(super) sent: usize,
    /// In the order in which they were sent.
    pub(super) answered: Vec<Probe>,
    pub(super) failed: Vec<Exchange>,
    pub(super) starved: Option<String>,
}

impl Probes<'_> {
    /// Puts the load, sends probes until they are likely to decide, takes the load away, and waits for all answers.
    pub(super) async fn cycle(&mut self, rng: &mut impl Rng, mix: &mut Mix) -> Result<()> {
        let (ctx, model) = (self.ctx, self.model);
        let (busy, idle): (Vec<Endpoint>, Vec<Endpoint>) = model
            .weighted_pools()
            .flat_map(|pool| pool.endpoints.clone())
            .partition(|endpoint| self.is_busy(&endpoint.name));
        let endpoints = [busy.as_slice(), &idle].concat();
        for endpoint in &endpoints {
            wait_until_idle(&ctx.http, endpoint, ctx.timeouts.drain).await?;
        }
        let client = ctx.client(Connections::KeepAlive)?;
        let interval = interval(ctx, &client, model, idle.len()).await?;
        let put = busy
            .iter()
            .map(|endpoint| self.load.put(ctx, endpoint, &model.name));
        let ballast = try_join_all(put).await?;
        let watch = Watch::start(&ctx.http, &endpoints);
        tokio::time::sleep(ctx.timeouts.metrics_settle).await;

        let since_us = scrapes::now_us();
        let mut open = Vec::new();
        for _ in 0..ROUNDS {
            let missing = self.missing(&open);
            if missing == 0 || !self.failed.is_empty() {
                break;
            }
            let kinds: Vec<Kind> = (0..missing)
                .map(|_| match self.prefixes {
                    [] => mix.kind(rng),
                    _ => PREFIXED,
                })
                .collect();
            let requests = kinds.iter().map(|kind| {
                let request = self.request(*kind, rng);
                request.timeout(ctx.timeouts.case)
            });
            let requests: Vec<Request> = requests.collect();
            let sent = drive::open_loop(&client, interval, requests.into_iter()).await;
            let sent = kinds.iter().copied().zip(sent).collect();
            let all_sent_at = Instant::now();
            let (answered, waiting) = settle(sent, ctx.timeouts.prompt_answer).await;
            watch.read_after(all_sent_at + interval).await;
            for (kind, exchange) in answered {
                let (busy, at) = (busy.len(), exchange.sent_at);
                let reason =
                    not_as_arranged(ctx, &watch, &endpoints, busy, self.load, at, interval);
                self.add(kind, exchange, reason);
            }
            open.extend(waiting);
        }
        let starved = scrapes::starved(&ctx.http, &endpoints, since_us).await;
        self.starved = self.starved.take().or(starved);
        for load in ballast {
            load.release().await?;
        }
        // What was still waiting when all had been sent: behind ballast if a busy endpoint served it. If another one
        // did, it was held on its way and went when the ballast was gone, which says nothing.
        for (kind, task) in open {
            let exchange = task.await?;
            let stuck = served::endpoint_of(&exchange).is_some_and(|name| self.is_busy(name));
            let reason = (!stuck).then(|| "held on its way".to_owned());
            self.add(kind, exchange, reason);
        }
        self.answered.sort_by_key(|probe| probe.exchange.sent_at);
        Ok(())
    }

    /// The next probe.
    fn request(&mut self, kind: Kind, rng: &mut impl Rng) -> Request {
        let name = self.model.name.as_str();
        if self.prefixes.is_empty() {
            return kind.request(name, 1, rng);
        }
        let prefix = &self.prefixes[self.sent % self.prefixes.len()];
        self.sent += 1;
        let prompt = format!("{prefix}{}", nonce(rng).repeat(OWN_NONCES));
        let body = payload(kind.api, name.into(), &prompt, 1);
        Request::from_json(kind.api, &body)
    }

    pub(super) fn is_busy(&self, endpoint: &str) -> bool {
        self.busy.contains(&endpoint)
    }

    fn add(&mut self, kind: Kind, exchange: Exchange, reason: Option<String>) {
        match exchange.is_success() {
            true => self.answered.push(Probe {
                exchange,
                kind,
                reason,
            }),
            false => self.failed.push(exchange),
        }
    }

    /// The probes that are still to be sent before the next test can end, if those that are `open` will turn out to be behind the
    /// ballast of the pool in question.
    pub(super) fn missing(&self, open: &[(Kind, Sent)]) -> u64 {
        let missing = self.tests.iter().map(|it| {
            let is_own = |(kind, _): &&(Kind, Sent)| it.kind.is_none_or(|own| own == *kind);
            let stuck = open.iter().filter(is_own).map(|_| true);
            match it.test.progress(self.picks(it, false).chain(stuck)) {
                Progress::Open { missing } => {
                    self.probes_for(it.pool, requests_for(it.kind, missing))
                }
                Progress::Ended { .. } => 0,
            }
        });
        missing.max().unwrap_or(0)
    }

    /// The number of probes of which about `picks` go to a pool.
    fn probes_for(&self, pool: &Pool, picks: u64) -> u64 {
        (picks * u64::from(self.model.total_weight())).div_ceil(u64::from(pool.weight.max(1)))
    }

    /// The picks that a test is about in the order in which probes were sent, true for those of a busy endpoint. Probes that do
    /// not count are left out or, where a picker is given the benefit of the doubt, taken for right ones.
    pub(super) fn picks(
        &self,
        test: &PoolTest<'_>,
        charitable: bool,
    ) -> impl Iterator<Item = bool> {
        let (endpoints, kind) = (&test.pool.endpoints, test.kind);
        let of_pool = |name: &str| endpoints.iter().any(|it| it.name == name);
        let own = self.answered.iter();
        let own = own.filter(move |probe| kind.is_none_or(|kind| kind == probe.kind));
        own.filter_map(move |probe| {
            let name = served::endpoint_of(&probe.exchange).filter(|name| of_pool(name))?;
            match &probe.reason {
                None => Some(self.is_busy(name)),
                Some(_) => charitable.then_some(false),
            }
        })
    }
}

/// The exchanges that ended within `grace`, and the tasks of those that did not.
async fn settle(
    sent: Vec<(Kind, Sent)>,
    grace: Duration,
) -> (Vec<(Kind, Exchange)>, Vec<(Kind, Sent)>) {
    let deadline = tokio::time::Instant::now() + grace;
    let (mut ended, mut open) = (Vec::new(), Vec::new());
    for (kind, mut task) in sent {
        match tokio::time::timeout_at(deadline, &mut task).await {
            Ok(Ok(exchange)) => ended.push((kind, exchange)),
            // A send that panicked has said so on standard error; it counts as no probe.
            Ok(Err(_)) => {}
            Err(_) => open.push((kind, task)),
        }
    }
    (ended, open)
}
