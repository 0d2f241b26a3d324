//! Faults: what becomes of requests when a part of the stack goes, and when it comes back.

mod endpoint_killed;
mod endpoint_removed;
mod picker_down;
mod picker_down_open;
pub(crate) mod timeline;

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use poolproof_cases::case::{Catch, Suite};
use poolproof_cases::context::Context;
use poolproof_cases::expect;
use poolproof_client::evidence::served;
use poolproof_client::{Api, Connections, Exchange, Request, drive};
use poolproof_fixtures::flaw::Flaw;
use poolproof_model::target::Model;
use poolproof_model::verdict::Findings;
use rand::Rng;

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
    Catch::new(Flaw::BrokenStreamFinished, &["faults/endpoint-killed"], &[]),
    Catch::new(Flaw::GhostEndpoint, &["faults/endpoint-removed"], &["rollout/empty-pool", "rollout/empty-weighted-pool"]),
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

/// What it took until requests were as they should be again.
pub(crate) struct Recovery {
    /// Until the first of the rounds that were; `None`: there were none.
    pub(crate) took: Option<Duration>,
    /// The requests that were not, before.
    pub(crate) wrong: Vec<Exchange>,
}

impl Recovery {
    /// For a report: how long, and what happened meanwhile.
    pub(crate) fn in_words(&self) -> String {
        let wrong = match self.wrong.last() {
            Some(last) => format!(
                "{} requests before, the last: {}",
                self.wrong.len(),
                last.describe()
            ),
            None => "no request before".to_owned(),
        };
        match self.took {
            Some(took) => format!("after {} ms ({wrong})", took.as_millis()),
            None => format!("never ({wrong})"),
        }
    }
}

/// Sends requests for a model in rounds until some rounds in a row are all right.
pub(crate) async fn until_steady(
    ctx: &Context,
    model: &Model,
    timeline: &mut Timeline,
    is_right: impl Fn(&Exchange) -> bool,
) -> Result<Recovery> {
    let (mut wrong, mut right, mut since) = (Vec::new(), 0, None);
    let steady = rounds(ctx, model, timeline, |exchanges, after| {
        let before = wrong.len();
        wrong.extend(exchanges.into_iter().filter(|it| !is_right(it)));
        if wrong.len() > before {
            (right, since) = (0, None);
        } else {
            since.get_or_insert(after);
            right += 1;
        }
        right == STEADY
    });
    let took = match steady.await? {
        true => since,
        false => None,
    };
    Ok(Recovery { took, wrong })
}

/// Fails unless a model is served before anything is changed.
pub(crate) async fn working(ctx: &Context, model: &Model, timeline: &mut Timeline) -> Result<()> {
    let recovery = until_steady(ctx, model, timeline, Exchange::is_success).await?;
    ensure!(
        recovery.took.is_some(),
        "before anything was changed: {}",
        recovery.in_words()
    );
    Ok(())
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

/// So many requests of one token for a model.
fn requests(
    model: &Model,
    n: usize,
    timeout: Duration,
    rng: &mut impl Rng,
) -> impl Iterator<Item = Request> {
    (0..n).map(move |_| Request::new(Api::Completions, &model.name, 1, rng).timeout(timeout))
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
