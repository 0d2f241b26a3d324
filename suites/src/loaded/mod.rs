//! Probes through the gateway while chosen endpoints are busy with ballast: busy endpoints get (almost) nothing.
//!
//! A probe counts only if the readings around it show the load that was arranged: one wrong pick queues behind the ballast,
//! and if the ballast drained meanwhile, the rest of the sample would judge an idle pool. What does not count is sent again,
//! whatever became of it. Probes are of all kinds; a test is about all of them or about one kind.

mod arranged;

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use futures_util::future::try_join_all;
use poolproof_cases::ballast::wait_until_idle;
use poolproof_cases::context::Context;
use poolproof_cases::effort::Effort;
use poolproof_cases::expect;
use poolproof_client::drive::{self, Sent};
use poolproof_client::evidence::watch::Watch;
use poolproof_client::evidence::{scrapes, served};
use poolproof_client::{Client, Connections, Exchange, Request, nonce, payload};
use poolproof_model::picture::Picture;
use poolproof_model::target::{Endpoint, Model, Pool};
use poolproof_model::verdict::{Findings, Outcome};
use poolproof_stats::sequential::{Progress, Sequential};
use rand::Rng;

use crate::mix::{KIND_SHARE, Kind, Mix, requests_for};

pub(crate) use arranged::{Load, not_as_arranged};

/// How often load is put and probes are sent, where those of one time do not decide.
const CYCLES: usize = 3;

/// Rounds of probes in a cycle: some more than a test has looks, for probes that do not count.
const ROUNDS: usize = 60;

/// Requests by which the pace of probes is found.
pub(crate) const PACE_SAMPLES: u32 = 8;

/// Probes that are open at once for each idle endpoint, by the time that one takes while all are idle.
const IN_FLIGHT_PER_IDLE: usize = 2;

/// The time of a cycle beside its probes, about, in seconds: ballast is put and seen, and drains.
const WAITS_S: f64 = 1.0;

/// The kind of probes with a prefix: only prompts of one API share one.
const PREFIXED: Kind = Kind::ALL[0];
/// The nonces, of 64 bytes each, that follow the prefix of a probe: 2 KiB.
const OWN_NONCES: usize = 32;

/// The shortest time between two probes.
pub(crate) const INTERVAL_MIN: Duration = Duration::from_millis(4);

/// A test of the share that the busy endpoints of a pool get of its picks.
#[derive(Clone, Debug)]
pub(crate) struct PoolTest<'a> {
    /// The pool.
    pub(crate) pool: &'a Pool,
    /// The kind of request that it is about; `None`: all.
    pub(crate) kind: Option<Kind>,
    /// The test.
    pub(crate) test: Sequential,
}

/// What judging takes while `busy` endpoints are busy.
pub(crate) fn effort(model: &Model, busy: usize, tests: &[PoolTest<'_>]) -> Effort {
    let weight = f64::from(model.total_weight());
    let tests = tests.iter().map(|it| {
        let of_kind = it.kind.map_or(1.0, |_| KIND_SHARE);
        (&it.test, of_kind * f64::from(it.pool.weight) / weight)
    });
    let endpoints: usize = model
        .weighted_pools()
        .map(|pool| pool.endpoints.len())
        .sum();
    Effort::sequential(tests)
        .and(PACE_SAMPLES as usize)
        .in_flight(IN_FLIGHT_PER_IDLE * endpoints.saturating_sub(busy).max(1))
        .waits(WAITS_S)
}

/// A probe that was answered.
struct Probe {
    exchange: Exchange,
    kind: Kind,
    /// Why it does not count, if it does not.
    reason: Option<String>,
}

/// What became of the probes.
struct Probes<'a> {
    ctx: &'a Context,
    model: &'a Model,
    busy: &'a [&'a str],
    load: Load,
    tests: &'a [PoolTest<'a>],
    /// What prompts begin with, in turn; none: every prompt is unlike any other.
    prefixes: &'a [String],
    /// Probes with a prefix so far.
    sent: usize,
    /// In the order in which they were sent.
    answered: Vec<Probe>,
    failed: Vec<Exchange>,
    starved: Option<String>,
}

/// Makes the endpoints in `busy` busy and sends probes for the model until all tests have ended.
pub(crate) async fn judge(
    ctx: &Context,
    model: &Model,
    busy: &[&str],
    load: Load,
    tests: &[PoolTest<'_>],
) -> Result<Outcome> {
    judge_prefixes(ctx, model, busy, load, tests, &[]).await
}

/// Like [`judge`], with probes that begin with these prefixes in turn, and are a third prefix if that is 1 KiB long.
pub(crate) async fn judge_prefixes(
    ctx: &Context,
    model: &Model,
    busy: &[&str],
    load: Load,
    tests: &[PoolTest<'_>],
    prefixes: &[String],
) -> Result<Outcome> {
    let mut probes = Probes {
        ctx,
        model,
        busy,
        load,
        tests,
        prefixes,
        sent: 0,
        answered: Vec::new(),
        failed: Vec::new(),
        starved: None,
    };
    let mut rng = ctx.rng(&format!("probes with {busy:?} busy"));
    let mut mix = Mix::default();
    for _ in 0..CYCLES {
        if probes.missing(&[]) == 0 || !probes.failed.is_empty() {
            break;
        }
        probes.cycle(&mut rng, &mut mix).await?;
    }
    Ok(probes.conclude())
}

impl Probes<'_> {
    /// Puts the load, sends probes until they are likely to decide, takes the load away, and waits for all answers.
    async fn cycle(&mut self, rng: &mut impl Rng, mix: &mut Mix) -> Result<()> {
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

    fn is_busy(&self, endpoint: &str) -> bool {
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
    fn missing(&self, open: &[(Kind, Sent)]) -> u64 {
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
    fn picks(&self, test: &PoolTest<'_>, charitable: bool) -> impl Iterator<Item = bool> {
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

    fn conclude(self) -> Outcome {
        let mut findings = Findings::default();
        for exchange in &self.failed {
            findings.add(expect::success("every probe", exchange));
        }
        let mut undecided = Vec::new();
        for it in self.tests {
            let PoolTest { pool, kind, test } = it;
            // A picker that is blind to load piles up requests, and so spoils what was arranged by itself: it fails all the same.
            let counted = test.progress(self.picks(it, false));
            let progress = match counted {
                Progress::Ended { .. } => counted,
                Progress::Open { .. } => test.progress(self.picks(it, true)),
            };
            let busy = pool.endpoints.iter().filter(|it| self.is_busy(&it.name));
            let busy: Vec<&str> = busy.map(|it| it.name.as_str()).collect();
            match progress {
                Progress::Ended { look, hits } if progress == counted || test.fails(look, hits) => {
                    let of_kind = kind.map(|kind| format!(", of {}", kind.in_words()));
                    let of = format!(
                        "share of busy {} in {}{}",
                        busy.join(" and "),
                        pool.name,
                        of_kind.unwrap_or_default()
                    );
                    findings.add_statistic(test.decide(of, look, hits));
                }
                _ => undecided.push(pool.name.as_str()),
            }
        }
        undecided.dedup();
        let counts = |probe: &&Probe| probe.reason.is_none();
        let counted = self.answered.iter().filter(counts).map(|it| &it.exchange);
        let (by_endpoint, of) = (served::by_endpoint(counted.clone()), counted.count());
        let total = self.answered.len();
        let endpoints = self.model.weighted_pools().flat_map(|pool| &pool.endpoints);
        let bars = endpoints.map(|it| {
            let busy = if self.is_busy(&it.name) {
                " (busy)"
            } else {
                ""
            };
            let served = by_endpoint.get(&it.name).copied().unwrap_or(0);
            (format!("{}{busy}", it.name), served as f64)
        });
        findings.show(Picture::bars(
            "probes that each endpoint served",
            "probes",
            bars.collect(),
        ));
        findings.note(format!(
            "{of} of {total} probes met the load as arranged, by readings of the endpoints around each"
        ));
        if !undecided.is_empty() && !findings.failed() {
            let first = self
                .answered
                .iter()
                .find_map(|probe| probe.reason.as_deref());
            return Outcome::invalid(format!(
                "{of} of {total} probes met the load as arranged, too few to judge {}; the first that did not: {}",
                undecided.join(" and "),
                first.unwrap_or("none")
            ));
        }
        let served = served::in_words(&by_endpoint);
        let summary = format!("{} busy: {served} of {of}", self.busy.join(" and "));
        findings.outcome_unless(summary, self.starved)
    }
}

/// A time between probes that keeps idle endpoints idle: by the time that one takes through the gateway.
pub(crate) async fn interval(
    ctx: &Context,
    client: &Client,
    model: &Model,
    idle_endpoints: usize,
) -> Result<Duration> {
    let (mut rng, mut mix) = (ctx.rng("pace"), Mix::default());
    let mut total = Duration::ZERO;
    for _ in 0..PACE_SAMPLES {
        let request = mix.request(&model.name, 1, &mut rng);
        let exchange = client.send(request.timeout(ctx.timeouts.request)).await;
        ensure!(
            exchange.is_success(),
            "a request for {} on an idle stack: {}",
            model.name,
            exchange.describe()
        );
        total += exchange.latency();
    }
    Ok(
        (total / PACE_SAMPLES / (IN_FLIGHT_PER_IDLE * idle_endpoints.max(1)) as u32)
            .max(INTERVAL_MIN),
    )
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use poolproof_client::Ending;

    use poolproof_model::verdict::Verdict;
    use poolproof_stats::binomial::Question;

    use super::*;
    use crate::made::{context, exchange};

    /// More than the longest look of the test.
    const ENOUGH: usize = 1000;

    fn probe(served_by: &str, reason: Option<&str>) -> Probe {
        Probe {
            exchange: exchange(served_by, Some(200), Ending::Complete),
            kind: Kind::ALL[0],
            reason: reason.map(str::to_owned),
        }
    }

    /// Of probes while model-a-0 is busy.
    fn verdict(answered: Vec<Probe>, failed: usize, starved: bool) -> Verdict {
        let ctx = context();
        let model = &ctx.target.models[0];
        let question = Question::AtMost {
            null: 0.05,
            bad: 0.25,
        };
        let tests = [PoolTest {
            pool: &model.pools[0],
            kind: None,
            test: Sequential::new(question, 1e-4, 0.99).unwrap(),
        }];
        let refused = exchange("model-a-1", Some(503), Ending::Complete);
        let probes = Probes {
            ctx: &ctx,
            model,
            busy: &["model-a-0"],
            load: Load::Waiting(3),
            tests: &tests,
            prefixes: &[],
            sent: 0,
            answered,
            failed: vec![refused; failed],
            starved: starved.then(|| "too busy".to_owned()),
        };
        probes.conclude().verdict
    }

    fn probes(n: usize, served_by: &str, reason: Option<&str>) -> Vec<Probe> {
        (0..n).map(|_| probe(served_by, reason)).collect()
    }

    #[test]
    fn probes_at_idle_endpoints_pass_and_at_the_busy_one_fail() {
        let idle = probes(ENOUGH, "model-a-1", None);
        assert_eq!(verdict(idle, 0, false), Verdict::Pass);
        let busy = probes(ENOUGH, "model-a-0", None);
        assert_eq!(verdict(busy, 0, false), Verdict::Fail);
    }

    #[test]
    fn too_few_probes_under_the_load_are_invalid() {
        assert_eq!(
            verdict(probes(3, "model-a-1", None), 0, false),
            Verdict::Invalid
        );
        let drained = probes(ENOUGH, "model-a-1", Some("nothing waited"));
        assert_eq!(verdict(drained, 0, false), Verdict::Invalid);
    }

    #[test]
    fn probes_that_do_not_count_are_right_ones_where_the_rest_fails_all_the_same() {
        let mut mixed = probes(ENOUGH, "model-a-0", None);
        mixed.truncate(10);
        mixed.extend(probes(3, "model-a-1", Some("nothing waited")));
        assert_eq!(verdict(mixed, 0, false), Verdict::Fail);
    }

    #[test]
    fn a_probe_that_is_not_served_is_a_failure_whatever_the_share() {
        assert_eq!(
            verdict(probes(3, "model-a-1", None), 1, false),
            Verdict::Fail
        );
        assert_eq!(
            verdict(probes(ENOUGH, "model-a-1", None), 1, false),
            Verdict::Fail
        );
    }

    #[test]
    fn a_failure_while_scrapes_starved_is_invalid() {
        assert_eq!(
            verdict(probes(ENOUGH, "model-a-0", None), 0, true),
            Verdict::Invalid
        );
        assert_eq!(
            verdict(probes(ENOUGH, "model-a-1", None), 0, true),
            Verdict::Pass
        );
    }
}
