//! All endpoints of a pool but one are busy.

use anyhow::Result;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::need::{EndpointNames, Find, PoolToLoad};
use poolproof_model::verdict::Outcome;

use super::busy::{WAITING, effort, judge};
use crate::loaded::Load;

pub(super) const CASE: Case = Case {
    id: "distribution/two-busy",
    requirement: "Endpoints with a queue get (almost) nothing while one of the pool has none (two of three, or all but one).",
    level: Level::Must,
    source: "GIE v1.5.0, queue-scorer: P/scheduling/scorer/queuedepth",
    needs: &[PoolToLoad::NEED, EndpointNames::NEED],
    alpha_parts: 1,
    plan: |target, rates| effort(target, rates, 2),
    run: |ctx| Box::pin(two_busy(ctx)),
};

async fn two_busy(ctx: &Context) -> Result<Outcome> {
    let (model, pool) = PoolToLoad::find(&ctx.target)?;
    let names = pool.endpoints[1..].iter().map(|e| e.name.as_str());
    let busy: Vec<&str> = names.collect();
    judge(ctx, model, pool, &busy, Load::Waiting(WAITING)).await
}
