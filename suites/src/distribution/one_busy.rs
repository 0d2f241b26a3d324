//! One endpoint of a pool is busy.

use anyhow::Result;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::need::{EndpointNames, Find, PoolToLoad};
use poolproof_model::verdict::Outcome;

use super::busy::{WAITING, effort, judge};
use crate::loaded::Load;

pub(super) const CASE: Case = Case {
    id: "distribution/one-busy",
    requirement: "An endpoint with a queue gets (almost) nothing while the others have none.",
    level: Level::Must,
    source: "GIE v1.5.0, queue-scorer: P/scheduling/scorer/queuedepth",
    needs: &[PoolToLoad::NEED, EndpointNames::NEED],
    alpha_parts: 1,
    plan: |target, rates| effort(target, rates, 1),
    run: |ctx| Box::pin(one_busy(ctx)),
};

async fn one_busy(ctx: &Context) -> Result<Outcome> {
    let (model, pool) = PoolToLoad::find(&ctx.target)?;
    let busy = pool.endpoints[0].name.as_str();
    judge(ctx, model, pool, &[busy], Load::Waiting(WAITING)).await
}
