//! The split over one keep-alive connection.

use anyhow::Result;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::need::{Canary, EndpointNames, Find};
use poolproof_client::Connections;
use poolproof_model::verdict::Outcome;

use super::split;

pub(super) const CASE: Case = Case {
    id: "canary/split-keep-alive",
    requirement: "On one keep-alive connection, each pool gets the share of requests that its weight says, within the tolerance.",
    level: Level::Must,
    source: "Gateway API v1.5.1, BackendRef.weight: the proportion of requests",
    needs: &[Canary::NEED, EndpointNames::NEED],
    alpha_parts: 2,
    plan: split::effort,
    run: |ctx| Box::pin(split_keep_alive(ctx)),
};

async fn split_keep_alive(ctx: &Context) -> Result<Outcome> {
    // One request at a time keeps one connection in use, and no other.
    let client = ctx.client(Connections::KeepAlive)?;
    split::judge(ctx, &client, 1).await
}
