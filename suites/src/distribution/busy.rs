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

/// Requests that wait at a busy endpoint: load that a picker sees (running requests are invisible to it), below the
/// saturation of the pool, from which on a picker with flow control holds all probes.
pub(super) const WAITING: u64 = 3;

/// The share that busy endpoints may get, and the one that must be refused.
pub(super) const ALMOST_NOTHING: Question = Question::AtMost {
    null: 0.02,
    bad: 0.08,
};

/// The effort of a judgement while this many endpoints of the pool are busy.
pub(super) fn effort(target: &Target, rates: &Rates, busy: usize) -> Result<Effort> {
    let (model, pool) = PoolToLoad::find(target)?;
    Ok(loaded::effort(model, busy, &[test(pool, rates)?]))
}

fn test<'a>(pool: &'a Pool, rates: &Rates) -> Result<PoolTest<'a>> {
    let test = Sequential::new(ALMOST_NOTHING, rates.alpha, rates.power)?;
    Ok(PoolTest { pool, test })
}

/// Makes endpoints busy and judges what they get.
pub(super) async fn judge(
    ctx: &Context,
    model: &Model,
    pool: &Pool,
    busy: &[&str],
    load: Load,
) -> Result<Outcome> {
    loaded::judge(ctx, model, busy, load, &[test(pool, &ctx.rates)?]).await
}
