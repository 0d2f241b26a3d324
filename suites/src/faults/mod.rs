//! Faults: what becomes of requests when a part of the stack goes, and when it comes back.

mod endpoint_killed;
mod endpoint_removed;
mod picker_down;
mod picker_down_open;
pub(crate) mod timeline;

use std::time::{Duration, Instant};

use anyhow::Result;
use poolproof_cases::case::{Catch, Suite};
use poolproof_cases::context::Context;
use poolproof_cases::effort::{Decision, Effort};
use poolproof_cases::expect::{self, Found};
use poolproof_client::evidence::served;
use poolproof_client::{Connections, Exchange, Request, drive};
use poolproof_fixtures::flaw::Flaw;
use poolproof_model::target::Model;
use poolproof_model::verdict::{Findings, Outcome};
use poolproof_stats::binomial::Plan;
use rand::Rng;

use crate::mix::Mix;
use crate::none;
use timeline::Timeline;

/// The suite.
pub const SUITE: Suite = Suite {
    id: "faults",
    promise: "when a picker or an endpoint goes, its requests are refused or broken off so that it shows, and the rest goes on",
    cases: &[
        picker_down::CASE,
        picker_down_open::CASE,
        endpoint_removed::CASE,
        endpoint_killed::CASE,
    ],
    catches: CATCHES,
};

/// The flaws that this suite must catch.
#[rustfmt::skip]
const CATCHES: &[Catch] = &[
    Catch::new(Flaw::PickerDownOpen, &["faults/picker-down"], &[]),
    Catch::new(Flaw::FailOpenIgnored, &["faults/picker-down-open"], &[]),
    Catch::new(Flaw::PickerDownHangs, &["faults/picker-down", "faults/picker-down-open"], &[]),
    Catch::new(Flaw::BrokenStreamFinished, &["faults/endpoint-killed", "errors/cut-shows"], &[]),
    Catch::new(Flaw::GhostEndpoint, &["faults/endpoint-removed"], &["rollout/empty-pool", "rollout/empty-weighted-pool", "affinity/session"]),
    Catch::new(Flaw::OpenPoolRefusesSome, &["faults/picker-down-open"], &[]),
    Catch::new(Flaw::ClosedPoolServesSome, &["faults/picker-down"], &[]),
    Catch::new(Flaw::PickerBackLossy, &["faults/picker-down"], &["faults", "rollout"]),
];

/// Requests of a round; a round is as it should be if all of them are.
const ROUND: usize = 8;
/// Rounds in a row that have to be as they should be.
const STEADY: usize = 3;
/// Rounds, at most.
const ROUNDS_MAX: usize = 200;
/// From the start of a round to that of the next one: together as long as anything may take to recover.
const PAUSE: Duration = Duration::from_millis(150);

/// Requests that [`until_steady`] sends where nothing has to recover, and that it or [`expect_return`] sends at most.
pub(crate) const STEADY_REQUESTS: usize = ROUND * STEADY;
pub(crate) const ROUNDS_REQUESTS_MAX: usize = ROUND * ROUNDS_MAX;
/// The time for which a picker may trust the last metrics of an endpoint (GIE v1.5.0, `--metrics-staleness-threshold`): so long, it may
/// pick an endpoint that is dead.
const TRUSTED: Duration = Duration::from_secs(2);
/// The requests that [`until_steady`] sends in that time.
const TRUSTED_REQUESTS: usize = ROUND * (TRUSTED.as_millis() / PAUSE.as_millis()) as usize;
/// Requests of a sample at a time.
const IN_FLIGHT: usize = 12;
/// The same where each may wait for a connection that never opens: Envoy's default `connect_timeout` is 5 s.
const REFUSED_IN_FLIGHT: usize = 57;

/// The effort of a case: requests before anything is changed, its samples, and `others` beside them; twice, the stack has to settle.
fn effort(plan: &Plan, samples: usize, others: usize) -> Effort {
    let fixed = STEADY_REQUESTS + samples * plan.n as usize + others;
    let nones = vec![Decision::Fixed(plan.clone()); samples];
    Effort::requests(fixed + 2 * STEADY_REQUESTS)
        .at_most((fixed + 2 * ROUNDS_REQUESTS_MAX) as u64)
        .in_flight(IN_FLIGHT)
        .decides(nones)
}

/// What it took until requests were as they should be again.
///
/// The requests until then are discarded: requirements allow a time of recovery, which is [`rounds`]' limit. What follows is judged by
/// a sample of its own, so a fault that shows at times cannot pass by a lucky row of rounds.
pub(crate) struct Recovery {
    /// Until the first of the rounds that were; `None`: there were none.
    pub(crate) took: Option<Duration>,
    /// The requests before that round.
    discarded: usize,
    /// Those of them that were not as they should be.
    pub(crate) wrong: Vec<Exchange>,
}

impl Recovery {
    /// For a report: how long, and what happened meanwhile.
    pub(crate) fn in_words(&self) -> String {
        let discarded = match self.wrong.last() {
            Some(last) => format!(
                "{} of {} requests before were not, the last: {}",
                self.wrong.len(),
                self.discarded,
                last.describe()
            ),
            None => "no request before".to_owned(),
        };
        match self.took {
            Some(took) => format!("after {} ms ({discarded})", took.as_millis()),
            None => format!("never ({discarded})"),
        }
    }
}

/// Sends requests for a model in rounds until some rounds in a row are all right, for `at_least` a time: a fault may show only later.
pub(crate) async fn until_steady(
    ctx: &Context,
    model: &Model,
    timeline: &mut Timeline,
    at_least: Duration,
    is_right: impl Fn(&Exchange) -> bool,
) -> Result<Recovery> {
    let (mut wrong, mut sent, mut discarded) = (Vec::new(), 0, 0);
    let (mut right, mut since) = (0, None);
    let steady = rounds(ctx, model, timeline, |exchanges, after| {
        sent += exchanges.len();
        let before = wrong.len();
        wrong.extend(exchanges.into_iter().filter(|it| !is_right(it)));
        if wrong.len() > before {
            (right, since, discarded) = (0, None, sent);
        } else {
            since.get_or_insert(after);
            right += 1;
        }
        right >= STEADY && after >= at_least
    });
    let took = match steady.await? {
        true => since,
        false => None,
    };
    Ok(Recovery {
        took,
        discarded,
        wrong,
    })
}

/// Waits until a model is served again, and adds whether it was.
pub(crate) async fn expect_served(
    ctx: &Context,
    model: &Model,
    timeline: &mut Timeline,
    findings: &mut Findings,
    what: &str,
) -> Result<Recovery> {
    let served = Exchange::is_success;
    let recovery = until_steady(ctx, model, timeline, Duration::ZERO, served).await?;
    let is_served = recovery.took.is_some();
    findings.add(expect::that(is_served, what, "served", recovery.in_words()));
    Ok(recovery)
}

/// Sends requests before anything is changed, and adds their exchanges to `before`. Returns an outcome if any was not served: what
/// happens later would show nothing.
pub(crate) async fn unwell(
    ctx: &Context,
    model: &Model,
    before: &mut Vec<Exchange>,
) -> Result<Option<Outcome>> {
    let client = ctx.client(Connections::KeepAlive)?;
    let mut rng = ctx.rng("before");
    let requests = requests(model, STEADY_REQUESTS, ctx.timeouts.request, &mut rng);
    let exchanges = drive::closed_loop(&client, ROUND, requests).await;
    let lost = exchanges.iter().filter(|exchange| !exchange.is_success());
    let mut from_last = lost.clone().rev();
    let outcome = from_last.next().map(|last| {
        let lost = lost.count();
        Outcome::invalid(format!(
            "before anything was changed, {lost} of {STEADY_REQUESTS} requests were not served, the last: {}",
            last.describe()
        ))
    });
    before.extend(exchanges);
    Ok(outcome)
}

/// Sends a sample of requests for a model, and adds what is wrong with each and the share of wrong ones.
async fn sample(
    ctx: &Context,
    model: &Model,
    (plan, of): (&Plan, &str),
    (in_flight, timeout): (usize, Duration),
    findings: &mut Findings,
    judge: impl Fn(&str, &Exchange) -> Vec<Found>,
) -> Result<Vec<Exchange>> {
    let client = ctx.client(Connections::KeepAlive)?;
    let mut rng = ctx.rng(of);
    let requests = requests(model, plan.n as usize, timeout, &mut rng);
    let asked = requests.map(|request| {
        let what = format!("request for {} at {}", model.name, request.path);
        (what, request)
    });
    let asked = asked.collect();
    let judge = |_, what: &str, exchange: &Exchange| judge(what, exchange);
    Ok(none::send(&client, in_flight, (plan, of), asked, findings, judge).await)
}

/// Adds whether an endpoint that is back is used again: sends requests for its model in rounds until it has answered one.
pub(crate) async fn expect_return(
    ctx: &Context,
    model: &Model,
    endpoint: &str,
    timeline: &mut Timeline,
    findings: &mut Findings,
) -> Result<()> {
    let mut took = None;
    rounds(ctx, model, timeline, |exchanges, after| {
        let mut served = exchanges.iter().filter(|it| it.is_success());
        if served.any(|it| served::endpoint_of(it) == Some(endpoint)) {
            took = Some(after);
        }
        took.is_some()
    })
    .await?;
    findings.add(expect::that(
        took.is_some(),
        "the endpoint once it is back",
        "served a request",
        "none",
    ));
    if let Some(took) = took {
        findings.note(format!("back in use after {} ms", took.as_millis()));
    }
    Ok(())
}

/// `n` requests of one token for a model, of all kinds.
fn requests(
    model: &Model,
    n: usize,
    timeout: Duration,
    rng: &mut impl Rng,
) -> impl Iterator<Item = Request> {
    let mut mix = Mix::default();
    (0..n).map(move |_| mix.request(&model.name, 1, rng).timeout(timeout))
}

/// Sends requests for a model in rounds until `is_over` says so of one, given the time from the first round to it. Says whether it
/// did.
async fn rounds(
    ctx: &Context,
    model: &Model,
    timeline: &mut Timeline,
    mut is_over: impl FnMut(Vec<Exchange>, Duration) -> bool,
) -> Result<bool> {
    let client = ctx.client(Connections::KeepAlive)?;
    let mut rng = ctx.rng("rounds");
    let begun = Instant::now();
    for number in 0..ROUNDS_MAX as u32 {
        tokio::time::sleep_until((begun + PAUSE * number).into()).await;
        let after = begun.elapsed();
        if after > ctx.timeouts.recovery {
            break;
        }
        let requests = requests(model, ROUND, ctx.timeouts.request, &mut rng);
        let exchanges = drive::closed_loop(&client, ROUND, requests).await;
        timeline.add(&exchanges);
        if is_over(exchanges, after) {
            return Ok(true);
        }
    }
    Ok(false)
}
