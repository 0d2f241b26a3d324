//! All endpoints of a pool but one are busy.

use anyhow::{Context as _, Result};
use poolproof_harness::case::{Case, Level, Need};
use poolproof_harness::context::Context;
use poolproof_harness::verdict::Outcome;

use super::busy::{WAITING, effort, judge};
use crate::loaded::Load;

pub(super) const CASE: Case = Case {
    id: "distribution/two-busy",
    requirement: "Endpoints with a queue get (almost) nothing while one of the pool has none (two of three, or all but one).",
    level: Level::Must,
    source: "GIE v1.5.0, queue-scorer: P/scheduling/scorer/queuedepth",
    needs: &[Need::PoolToLoad, Need::EndpointNames],
    plan: |target, settings| effort(target, settings, 2),
    run: |ctx| Box::pin(two_busy(ctx)),
};

async fn two_busy(ctx: &Context) -> Result<Outcome> {
    let (model, pool) = ctx.target.pool_to_load().context("a pool to load")?;
    let names = pool.endpoints[1..].iter().map(|e| e.name.as_str());
    let busy: Vec<&str> = names.collect();
    judge(ctx, model, pool, &busy, Load::Waiting(WAITING)).await
}
