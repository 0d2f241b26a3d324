//! The split over a new connection for each request.

use anyhow::Result;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::need::{Canary, EndpointNames, Find};
use poolproof_client::Connections;
use poolproof_model::verdict::Outcome;

use super::split;

pub(super) const CASE: Case = Case {
    id: "canary/split-new-connections",
    requirement: "With a new connection for each request, each pool gets the share that its weight says, within the tolerance.",
    level: Level::Must,
    source: "Gateway API v1.5.1, BackendRef.weight: the proportion of requests",
    needs: &[Canary::NEED, EndpointNames::NEED],
    alpha_parts: 2,
    plan: |target, rates| Ok(split::effort(target, rates)?.in_flight(IN_FLIGHT)),
    run: |ctx| Box::pin(split_new_connections(ctx)),
};

/// Requests in flight: enough to keep two cores busy, few enough for every accept queue.
const IN_FLIGHT: usize = 8;

async fn split_new_connections(ctx: &Context) -> Result<Outcome> {
    let client = ctx.client(Connections::NewPerRequest)?;
    split::judge(ctx, &client, IN_FLIGHT).await
}
