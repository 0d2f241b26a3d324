//! Probes through the gateway while chosen endpoints are busy with ballast: busy endpoints get (almost) nothing.
//!
//! A probe counts only if the readings around it show the load that was arranged: one wrong pick queues behind the ballast,
//! and if the ballast drained meanwhile, the rest of the sample would judge an idle pool. What does not count is sent again,
//! whatever became of it. Probes are of all kinds; a test is about all of them or about one kind.

mod arranged;
mod conclude;
mod pace;
mod probes;

use anyhow::Result;
use poolproof_cases::context::Context;
use poolproof_cases::effort::Effort;
use poolproof_model::target::{Model, Pool};
use poolproof_model::verdict::Outcome;
use poolproof_stats::sequential::Sequential;

use crate::mix::{KIND_SHARE, Kind, Mix};
use pace::IN_FLIGHT_PER_IDLE;
use probes::Probes;

pub(crate) use arranged::{Load, not_as_arranged};
pub(crate) use pace::{INTERVAL_MIN, PACE_SAMPLES, interval};

/// How often load is put and probes are sent, where those of one time do not decide.
const CYCLES: usize = 3;

/// The time of a cycle beside its probes, about, in seconds: ballast is put and seen, and drains.
const WAITS_S: f64 = 1.0;

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
