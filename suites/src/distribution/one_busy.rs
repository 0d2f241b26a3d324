//! One endpoint of a pool is busy.

use anyhow::{Context as _, Result};
use poolproof_harness::case::{Case, Level, Need};
use poolproof_harness::context::Context;
use poolproof_harness::verdict::Outcome;

use super::busy::{WAITING, effort, judge};
use crate::loaded::Load;

pub(super) const CASE: Case = Case {
    id: "distribution/one-busy",
    requirement: "An endpoint with a queue gets (almost) nothing while the others have none.",
    level: Level::Must,
    source: "GIE v1.5.0, queue-scorer: P/scheduling/scorer/queuedepth",
    needs: &[Need::PoolToLoad, Need::EndpointNames],
    plan: |target, settings| effort(target, settings, 1),
    run: |ctx| Box::pin(one_busy(ctx)),
};

async fn one_busy(ctx: &Context) -> Result<Outcome> {
    let (model, pool) = ctx.target.pool_to_load().context("a pool to load")?;
    let busy = pool.endpoints[0].name.as_str();
    judge(ctx, model, pool, &[busy], Load::Waiting(WAITING)).await
}
