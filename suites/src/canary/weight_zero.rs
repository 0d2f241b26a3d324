//! A pool of weight 0 gets nothing.

use anyhow::{Context as _, Result};
use poolproof_harness::case::{Case, Level, Need};
use poolproof_harness::client::Connections;
use poolproof_harness::context::Context;
use poolproof_harness::stats::POWER;
use poolproof_harness::stats::binomial::{Plan, Question};
use poolproof_harness::verdict::{Findings, Outcome};

use super::split;

pub(super) const CASE: Case = Case {
    id: "canary/weight-zero",
    requirement: "A pool of weight 0 gets no request.",
    level: Level::Must,
    source: "Gateway API v1.5.1, BackendRef.weight: if 0, no traffic should be forwarded",
    needs: &[Need::WeightZeroPool, Need::EndpointNames],
    run: |ctx| Box::pin(weight_zero(ctx)),
};

/// The smallest leak that must be caught.
const LEAK: f64 = 0.01;
const IN_FLIGHT: usize = 8;

async fn weight_zero(ctx: &Context) -> Result<Outcome> {
    let (model, pool) = ctx
        .target
        .weight_zero_pool()
        .context("a pool of weight 0")?;
    let question = Question::AtMost {
        null: 0.0,
        bad: LEAK,
    };
    // A correct gateway never leaks, so that no alpha is spent; it only has to be some number.
    let plan = Plan::new(question, 1e-9, POWER)?;
    let client = ctx.client(Connections::KeepAlive)?;
    let sample = split::sample(ctx, &client, model, plan.n, IN_FLIGHT).await?;
    let mut findings = Findings::default();
    let served = split::answered(&mut findings, &sample);
    let hits = served.iter().filter(|e| split::is_of(pool, e)).count() as u64;
    let of = format!("share of {} (weight 0)", pool.name);
    findings.add_statistic(plan.decide(of, hits, served.len() as u64));
    let summary = format!("{hits} of {} went to {}", served.len(), pool.name);
    split::conclude(findings, sample.sources, summary)
}
