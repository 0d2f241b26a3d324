//! Contention: endpoints filled with ballast, both classes held at the picker, then the ballast is taken away.
//!
//! It is shown, not assumed: requests wait at every endpoint for as long as classes are being held, and the picker (or, where
//! it does not say, the client's count less the endpoints') holds most of both.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use futures_util::future::try_join_all;
use poolproof_cases::ballast::{Ballast, wait_until_idle};
use poolproof_cases::context::Context;
use poolproof_cases::expect;
use poolproof_client::evidence::watch::Watch;
use poolproof_client::evidence::{control, endpoint, epp, scrapes};
use poolproof_client::poll;
use poolproof_client::{Client, Connections, Exchange, Lane, Request, drive};
use poolproof_model::picture::Picture;
use poolproof_model::target::{Endpoint, Model, Pool};
use poolproof_model::verdict::Findings;
use poolproof_stats::Statistic;
use poolproof_stats::rank;
use rand::seq::SliceRandom;

use super::stall::wait_while_fewer;
use crate::mix::{Kind, Kinds, Mix};

/// Waiting requests that fill an endpoint: above GIE's default threshold of 5. More are tried where a picker says that
/// its pool is not saturated yet.
const WAITING: [u64; 3] = [8, 16, 32];
/// The header that names the flow of a request (GIE v1.5.0, pkg/epp/metadata/consts.go).
const FAIRNESS_HEADER: &str = "x-gateway-inference-fairness-id";
/// How far apart requests are sent.
const INTERVAL: Duration = Duration::from_millis(1);
/// The share of the requests of a class that must have been held.
const HELD_SHARE: f64 = 0.8;

/// How often a class of higher priority goes before another in a picker that does it right, at least: dispatch follows scrapes, so
/// that a few requests of the first burst may overtake each other on their way.
pub(super) const EXPECTED: f64 = 0.95;

/// By how much the order in which the classes were sent may differ from the planned one, as a share of pairs.
const SENT_APART_MAX: f64 = 0.1;

/// One class of requests.
#[derive(Clone, Copy, Debug)]
pub(super) struct Class<'a> {
    /// Its name, for its thread and its requests.
    pub(super) name: &'a str,
    /// Its objective.
    pub(super) objective: Option<&'a str>,
    /// Its fairness id.
    pub(super) flow: Option<&'a str>,
    /// How many requests it sends.
    pub(super) requests: usize,
}

impl<'a> Class<'a> {
    /// A class of the flow to which requests without a fairness id belong.
    pub(super) fn new(name: &'a str, objective: Option<&'a str>, requests: usize) -> Self {
        Self {
            name,
            objective,
            flow: None,
            requests,
        }
    }
}

/// The order in which the requests of two classes are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SentIn {
    /// At random.
    AnyOrder,
    /// Those of the first class first.
    Turn,
}

/// What became of two classes that were held together.
pub(super) struct Held {
    /// The exchanges of the first class that ended, by the order in which they were sent.
    pub(super) first: Vec<Exchange>,
    /// Those of the second class.
    pub(super) second: Vec<Exchange>,
    /// The kinds of all of them.
    kinds: Kinds,
    /// Requests of each class that nobody answered: the client gave up when nothing moved any more.
    pub(super) lost: [usize; 2],
    /// When the ballast was taken away.
    pub(super) released_at: Instant,
    /// How it was shown that they were held.
    pub(super) shown: String,
    /// Why it is not contention that was measured, if it was not.
    pub(super) doubt: Option<String>,
}

/// Fills the endpoints, sends requests of all kinds in two classes through lanes of their own, shows that both are held, takes
/// the ballast away, and waits until all are served or nothing moves.
pub(super) async fn hold(
    ctx: &Context,
    model: &Model,
    pool: &Pool,
    classes: [Class<'_>; 2],
    order: SentIn,
) -> Result<Held> {
    for endpoint in &pool.endpoints {
        wait_until_idle(&ctx.http, endpoint, ctx.timeouts.drain).await?;
    }
    let ballast = saturate(ctx, model, pool).await?;
    let watch = Watch::start(&ctx.http, &pool.endpoints);
    tokio::time::sleep(ctx.timeouts.metrics_settle).await;
    let (begun_at, begun_us) = (Instant::now(), scrapes::now_us());
    let mut sent = send(ctx, model, classes, order).await?;

    let shown = shown_held(ctx, pool, classes, &ballast, &sent).await;
    let filled_until = Instant::now();
    watch.read_after(filled_until).await;
    let waiting = watch.held(begun_at, filled_until, |reading| reading.waiting >= 1.0);
    let starved = scrapes::starved(&ctx.http, &pool.endpoints, begun_us).await;
    let released_at = Instant::now();
    drop(ballast);
    wait_while_fewer(|| in_flight(&sent), ctx.timeouts.stall).await;

    let mut held = Held {
        first: Vec::new(),
        second: Vec::new(),
        kinds: Kinds::default(),
        lost: [0; 2],
        released_at,
        shown: String::new(),
        doubt: starved,
    };
    let ended = [&mut held.first, &mut held.second];
    for ((class, ended), lost) in sent.iter_mut().zip(ended).zip(&mut held.lost) {
        for (kind, task) in class.tasks.drain(..) {
            if task.is_finished() {
                let exchange = task.await?;
                held.kinds.keep(&exchange, kind);
                ended.push(exchange);
            } else {
                *lost += 1;
            }
        }
    }
    if let Some(shift) = sent_apart(&held.first, &held.second) {
        held.doubt = Some(format!(
            "the client sent one class late: {shift:.2} more of the pairs in order than planned"
        ));
    }
    if !waiting {
        held.doubt = Some("requests did not wait at every endpoint all the time".to_owned());
    }
    match shown {
        Ok(shown) => held.shown = shown,
        Err(doubt) => held.doubt = Some(doubt),
    }
    Ok(held)
}

/// When two classes that were held together reached the endpoints.
pub(super) struct Arrivals {
    /// In milliseconds since the ballast was taken away, by class, with the ids of the requests.
    classes_ms: [Vec<(String, f64)>; 2],
    kinds: Kinds,
    /// By what that is known.
    pub(super) source: &'static str,
}

impl Held {
    /// Adds whether all requests that ended were served.
    pub(super) fn expect_served(&self, names: [&str; 2], findings: &mut Findings) {
        for (name, class) in names.into_iter().zip([&self.first, &self.second]) {
            for exchange in class {
                let what = format!("every held {name} request");
                findings.add(expect::success(&what, exchange));
            }
        }
    }

    /// When each of some exchanges reached its endpoint, in milliseconds since the ballast was taken away, by the
    /// endpoints' logs; where they keep none, when its answer began. Exchanges that were not held are left out.
    pub(super) async fn arrivals(&self, ctx: &Context, endpoints: &[Endpoint]) -> Result<Arrivals> {
        let classes = [&self.first, &self.second];
        if endpoints.iter().any(|endpoint| endpoint.control.is_none()) {
            let began = |exchange: &Exchange| {
                let at = exchange
                    .first_byte_at?
                    .checked_duration_since(self.released_at)?;
                Some(at.as_secs_f64() * 1e3)
            };
            return Ok(Arrivals {
                classes_ms: classes.map(|class| times(class, began)),
                kinds: self.kinds.clone(),
                source: "the beginning of answers",
            });
        }
        let mut arrived_us = HashMap::new();
        for endpoint in endpoints {
            for request in control::requests(&ctx.http, endpoint).await? {
                arrived_us.extend(request.id.map(|id| (id, request.arrived_us)));
            }
        }
        let released_us = scrapes::now_us() as f64 - self.released_at.elapsed().as_secs_f64() * 1e6;
        let arrived = |exchange: &Exchange| {
            let after_us = *arrived_us.get(&exchange.id)? as f64 - released_us;
            (after_us >= 0.0).then_some(after_us / 1e3)
        };
        Ok(Arrivals {
            classes_ms: classes.map(|class| times(class, arrived)),
            kinds: self.kinds.clone(),
            source: "arrival in the endpoints' logs",
        })
    }
}

/// The exchanges of which a time is known, by their ids.
fn times(class: &[Exchange], time: impl Fn(&Exchange) -> Option<f64>) -> Vec<(String, f64)> {
    let known = class
        .iter()
        .filter_map(|it| Some((it.id.clone(), time(it)?)));
    known.collect()
}

impl Arrivals {
    /// The times of the classes, of one kind of request or of all, in the order in which they were sent.
    pub(super) fn of(&self, kind: Option<Kind>) -> [Vec<f64>; 2] {
        let own = |class: &Vec<(String, f64)>| {
            let own = class.iter().filter(|(id, _)| self.kinds.has(id, kind));
            own.map(|(_, ms)| *ms).collect()
        };
        self.classes_ms.each_ref().map(own)
    }

    /// Decides whether the first class arrived before the second; `None`: one of them never did.
    pub(super) fn in_order(
        &self,
        alpha: f64,
        names: [&str; 2],
        kind: Option<Kind>,
    ) -> Option<Statistic> {
        let [first, second] = self.of(kind);
        let (order, n) = (rank::order(&first, &second)?, first.len() + second.len());
        Some(order.decide_first(in_words(names, kind), n, alpha, EXPECTED))
    }

    /// Adds the same.
    pub(super) fn expect_in_order(
        &self,
        alpha: f64,
        names: [&str; 2],
        kind: Option<Kind>,
        findings: &mut Findings,
    ) {
        match self.in_order(alpha, names, kind) {
            Some(order) => findings.add_statistic(order),
            None => {
                let what = in_words(names, kind);
                findings.add(expect::that(false, &what, "both classes served", "one"));
            }
        }
    }

    /// Shows the times.
    pub(super) fn show(&self, names: [&str; 2], findings: &mut Findings) {
        let classes = names.map(str::to_owned).into_iter();
        findings.show(Picture::distributions(
            "when held requests reached an endpoint",
            "ms",
            classes.zip(self.of(None)).collect(),
        ));
        findings.note(format!("order by {}", self.source));
    }
}

fn in_words(names: [&str; 2], kind: Option<Kind>) -> String {
    let of_kind = kind.map(|kind| format!(" in {}", kind.in_words()));
    format!("{}{}", names.join(" before "), of_kind.unwrap_or_default())
}

/// Puts ballast on every endpoint until the picker takes its pool to be saturated, where it says so.
pub(crate) async fn saturate(ctx: &Context, model: &Model, pool: &Pool) -> Result<Vec<Ballast>> {
    let [least, ..] = WAITING;
    let endpoints = pool.endpoints.iter();
    let ballast = endpoints.map(|endpoint| Ballast::waiting(ctx, endpoint, &model.name, least));
    let mut ballast = try_join_all(ballast).await?;
    let mut before = 0;
    for waiting in WAITING {
        try_join_all(ballast.iter_mut().map(|it| it.raise(ctx, waiting))).await?;
        tokio::time::sleep(ctx.timeouts.metrics_settle).await;
        let saturation = epp::read(&ctx.http, pool)
            .await?
            .and_then(|it| it.saturation);
        if saturation.is_none_or(|saturation| saturation >= 1.0) {
            return Ok(ballast);
        }
        before = waiting;
    }
    anyhow::bail!(
        "the endpoint picker of pool {} does not take it to be saturated with {before} requests waiting at every endpoint",
        pool.name
    )
}

/// The requests of a class on their way. Its lane ends with it.
struct OnTheWay {
    tasks: Vec<(Kind, drive::Sent)>,
    _lane: Lane,
}

/// Sends both classes from clients that share nothing. Returns when all have been sent.
async fn send(
    ctx: &Context,
    model: &Model,
    classes: [Class<'_>; 2],
    order: SentIn,
) -> Result<[OnTheWay; 2]> {
    let mut rng = ctx.rng("order");
    let total = classes[0].requests + classes[1].requests;
    let mut slots: Vec<usize> = (0..total).collect();
    if order == SentIn::AnyOrder {
        slots.shuffle(&mut rng);
    }
    let (first, second) = slots.split_at(classes[0].requests);
    let mut ready = Vec::new();
    for (class, slots) in classes.into_iter().zip([first, second]) {
        let mut slots = slots.to_vec();
        slots.sort_unstable();
        let mut mix = Mix::default();
        let kinds: Vec<Kind> = slots.iter().map(|_| mix.kind(&mut rng)).collect();
        let mut due: Vec<(Duration, Request)> = Vec::new();
        for (slot, kind) in slots.into_iter().zip(&kinds) {
            let mut request = super::request(ctx, &model.name, *kind, class.objective, &mut rng);
            if let Some(flow) = class.flow {
                request = request.header(FAIRNESS_HEADER, flow);
            }
            due.push((INTERVAL * slot as u32, request));
        }
        let client: Client = ctx.client(Connections::KeepAlive)?;
        ready.push((Lane::start(class.name)?, client, kinds, due));
    }
    // Only now, when nothing is left to prepare: a class that is ready later would be sent later.
    let start = Instant::now() + INTERVAL * 10;
    let sending = ready.into_iter().map(|(lane, client, kinds, due)| {
        let sent =
            lane.spawn(async move { drive::scheduled(&client, start, due.into_iter()).await });
        async {
            anyhow::Ok(OnTheWay {
                tasks: kinds.into_iter().zip(sent.await?).collect(),
                _lane: lane,
            })
        }
    });
    try_join_all(sending)
        .await?
        .try_into()
        .ok()
        .context("two classes")
}

/// By how much more the first class was sent before the second than was planned, if that is more than a test of their order
/// bears.
fn sent_apart(first: &[Exchange], second: &[Exchange]) -> Option<f64> {
    let begun = first.iter().chain(second).map(|it| it.intended_at).min()?;
    let order_by = |time: fn(&Exchange) -> Instant| {
        let times = [first, second].map(|class| {
            let since = |exchange| {
                time(exchange)
                    .saturating_duration_since(begun)
                    .as_secs_f64()
            };
            class.iter().map(since).collect::<Vec<_>>()
        });
        Some(rank::order(&times[0], &times[1])?.first_below)
    };
    let shift = order_by(|it| it.sent_at)? - order_by(|it| it.intended_at)?;
    (shift.abs() > SENT_APART_MAX).then_some(shift)
}

/// Waits until enough requests are held that most of either class must be among them. Returns how that is known.
/// Counted without regard to priority: a picker that never learns of priorities holds them too, and is to be judged.
async fn shown_held(
    ctx: &Context,
    pool: &Pool,
    classes: [Class<'_>; 2],
    ballast: &[Ballast],
    sent: &[OnTheWay; 2],
) -> Result<String, String> {
    let sizes = classes.map(|class| class.requests);
    let total: usize = sizes.iter().sum();
    let smallest = sizes.into_iter().min().unwrap_or(0) as f64;
    let wanted = total as f64 - smallest * (1.0 - HELD_SHARE);
    let source = match pool.epp_metrics {
        Some(_) => "the endpoint picker's metrics",
        None => "the client's count less the endpoints'",
    };
    let last = AtomicU64::new(0);
    let what = format!("{wanted} requests are held");
    let held = poll::until(what, ctx.timeouts.held, poll::INTERVAL, || async {
        let held = match epp::read(&ctx.http, pool).await.ok()? {
            Some(reading) => reading.held.values().sum::<u64>() as f64,
            None => in_flight(sent) as f64 - probes_at_endpoints(ctx, pool, ballast).await.ok()?,
        };
        last.store(held.max(0.0) as u64, Ordering::Relaxed);
        (held >= wanted).then_some(())
    });
    let reached = held.await.is_ok();
    let last = last.into_inner();
    match reached {
        true => Ok(format!("{last} of {total} requests held, by {source}")),
        false => Err(format!(
            "only {last} of {total} requests were held, by {source}: no contention"
        )),
    }
}

/// Requests at the endpoints that are not ballast.
async fn probes_at_endpoints(ctx: &Context, pool: &Pool, ballast: &[Ballast]) -> Result<f64> {
    let mut there = 0.0;
    for endpoint in &pool.endpoints {
        let reading = endpoint::read(&ctx.http, endpoint).await?;
        there += reading.running + reading.waiting;
    }
    let ballast: usize = ballast.iter().map(Ballast::requests).sum();
    Ok((there - ballast as f64).max(0.0))
}

fn in_flight(sent: &[OnTheWay; 2]) -> usize {
    let tasks = sent.iter().flat_map(|class| &class.tasks);
    tasks.filter(|(_, task)| !task.is_finished()).count()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use poolproof_client::Ending;

    use super::*;
    use crate::made::exchange;

    fn arrivals(first_ms: f64, second_ms: f64) -> Arrivals {
        let from = |start: f64| {
            let times = (0..60).map(|n| (String::new(), start + f64::from(n)));
            times.collect()
        };
        Arrivals {
            classes_ms: [from(first_ms), from(second_ms)],
            kinds: Kinds::default(),
            source: "a test",
        }
    }

    /// A class whose requests were due every other millisecond from `due`, and were sent `late` after that.
    fn class(due: Duration, late: Duration, begun: Instant) -> Vec<Exchange> {
        let sent = |n: u32| {
            let mut exchange = exchange("a", Some(200), Ending::Complete);
            exchange.intended_at = begun + due + 2 * INTERVAL * n;
            exchange.sent_at = exchange.intended_at + late;
            exchange
        };
        (0..50).map(sent).collect()
    }

    #[test]
    fn a_class_that_the_client_sends_late_is_seen() {
        let begun = Instant::now();
        let first = class(Duration::ZERO, Duration::ZERO, begun);
        let second = class(INTERVAL, Duration::ZERO, begun);
        assert_eq!(sent_apart(&first, &second), None);
        let late = class(INTERVAL, Duration::from_millis(60), begun);
        assert!(sent_apart(&first, &late).is_some_and(|shift| shift > SENT_APART_MAX));
        assert!(sent_apart(&late, &first).is_some_and(|shift| shift < -SENT_APART_MAX));
    }

    #[test]
    fn the_first_class_has_to_arrive_first() {
        let decided = |first_ms, second_ms| {
            let arrivals = arrivals(first_ms, second_ms);
            let order = arrivals.in_order(1e-4, ["interactive", "batch"], None);
            order.unwrap().holds()
        };
        assert!(decided(0.0, 100.0));
        assert!(!decided(100.0, 0.0));
        assert!(!decided(0.0, 0.5));
    }

    #[test]
    fn a_class_that_never_arrives_is_a_failure() {
        let mut one = arrivals(0.0, 0.0);
        one.classes_ms[1].clear();
        let mut findings = Findings::default();
        one.expect_in_order(1e-4, ["interactive", "batch"], None, &mut findings);
        assert!(findings.failed());
    }

    #[test]
    fn held_requests_have_to_be_served() {
        let served = || exchange("a", Some(200), Ending::Complete);
        for (status, fails) in [(200, false), (429, true)] {
            let held = Held {
                first: vec![served()],
                second: vec![exchange("a", Some(status), Ending::Complete)],
                kinds: Kinds::default(),
                lost: [0; 2],
                released_at: Instant::now(),
                shown: String::new(),
                doubt: None,
            };
            let mut findings = Findings::default();
            held.expect_served(["interactive", "batch"], &mut findings);
            assert_eq!(findings.failed(), fails);
        }
    }
}
