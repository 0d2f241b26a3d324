//! The judgement that the cases of this suite share: busy endpoints get (almost) nothing.

use anyhow::Result;
use poolproof_cases::budget::Rates;
use poolproof_cases::context::Context;
use poolproof_cases::effort::Effort;
use poolproof_cases::need::{Find, PoolToLoad};
use poolproof_model::target::{Model, Pool, Target};
use poolproof_model::verdict::Outcome;
use poolproof_stats::binomial::Question;
use poolproof_stats::sequential::Sequential;

use crate::loaded::{self, Load, PoolTest};
use crate::mix::{Kind, Shares};

/// Requests that wait at a busy endpoint: load that a picker sees (running requests are invisible to it), below the
/// saturation of the pool, from which on a picker with flow control holds all probes.
pub(super) const WAITING: u64 = 3;

/// The share that busy endpoints may get, and the one that must be refused.
pub(super) const ALMOST_NOTHING: Question = Question::AtMost {
    null: 0.02,
    bad: 0.08,
};

/// The share of a kind of request that must be refused, at least and at most: among many endpoints that of a blind picker
/// is too small to be shown by a part of the probes.
const KIND_BAD: (f64, f64) = (0.2, 0.5);

/// The effort of a judgement while this many endpoints of the pool are busy.
pub(super) fn effort(target: &Target, rates: &Rates, busy: usize) -> Result<Effort> {
    let (model, pool) = PoolToLoad::find(target)?;
    Ok(loaded::effort(model, busy, &tests(pool, rates, busy)?))
}

/// The test of all requests, and that of each kind: endpoints that are picked without a look at load get a share of their
/// number, which the requests that settle the former are enough to show.
fn tests<'a>(pool: &'a Pool, rates: &Rates, busy: usize) -> Result<Vec<PoolTest<'a>>> {
    let alpha = Shares::of(rates.alpha);
    let blind = (busy as f64 / pool.endpoints.len() as f64).clamp(KIND_BAD.0, KIND_BAD.1);
    let question = Question::AtMost {
        null: ALMOST_NOTHING.null(),
        bad: blind,
    };
    let of_kind = Sequential::new(question, alpha.kind, rates.power)?;
    let mut tests = vec![PoolTest {
        pool,
        kind: None,
        test: Sequential::new(ALMOST_NOTHING, alpha.whole, rates.power)?,
    }];
    tests.extend(Kind::ALL.map(|kind| PoolTest {
        pool,
        kind: Some(kind),
        test: of_kind.clone(),
    }));
    Ok(tests)
}

/// The share of an endpoint that must be refused where a picker that is blind to its load gives it an equal share: half of
/// that, so that blindness for one API, or for streams, is found. Among many endpoints, half is too little to tell.
pub(super) fn blind_at_times(pool: &Pool) -> f64 {
    let equal = 1.0 / pool.endpoints.len() as f64;
    let least = equal.min(ALMOST_NOTHING.deviations()[0]);
    (equal / 2.0).max(least)
}

/// Makes endpoints busy and judges what they get.
pub(super) async fn judge(
    ctx: &Context,
    model: &Model,
    pool: &Pool,
    busy: &[&str],
    load: Load,
) -> Result<Outcome> {
    let tests = tests(pool, &ctx.rates, busy.len())?;
    loaded::judge(ctx, model, busy, load, &tests).await
}
