//! One endpoint's KV cache is in use, without a queue.

use anyhow::Result;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::need::{EndpointNames, Find, PoolToLoad};
use poolproof_client::evidence::endpoint;
use poolproof_model::verdict::Outcome;

use super::busy::{effort, judge};
use crate::loaded::Load;

pub(super) const CASE: Case = Case {
    id: "distribution/kv-pressure",
    requirement: "An endpoint whose KV cache is half in use gets (almost) nothing while the others' is free and none has a queue.",
    level: Level::Must,
    source: "GIE v1.5.0, kv-cache-utilization-scorer: P/scheduling/scorer/kvcacheutilization",
    needs: &[PoolToLoad::NEED, EndpointNames::NEED],
    alpha_parts: 1,
    plan: |target, rates| effort(target, rates, 1),
    run: |ctx| Box::pin(kv_pressure(ctx)),
};

/// The share of the KV cache that ballast takes: far above what probes take, below the saturation of the pool.
const USAGE: f64 = 0.5;

async fn kv_pressure(ctx: &Context) -> Result<Outcome> {
    let (model, pool) = PoolToLoad::find(&ctx.target)?;
    let busy = &pool.endpoints[0];
    let reading = endpoint::read(&ctx.http, busy).await?;
    if reading.kv_capacity_tokens.is_none() {
        return Ok(Outcome::skip(format!(
            "endpoint {} does not say how large its KV cache is (vllm:cache_config_info)",
            busy.name
        )));
    }
    judge(ctx, model, pool, &[&busy.name], Load::KvUsage(USAGE)).await
}
