//! A pool of weight 0 gets nothing.

use anyhow::{Context as _, Result};
use poolproof_harness::case::{Case, Level, Need};
use poolproof_harness::client::Connections;
use poolproof_harness::context::{Context, Settings};
use poolproof_harness::effort::Effort;
use poolproof_harness::stats::binomial::{Plan, Question};
use poolproof_harness::verdict::{Findings, Outcome};

use crate::sample::{Sample, is_of};

pub(super) const CASE: Case = Case {
    id: "canary/weight-zero",
    requirement: "A pool of weight 0 gets no request.",
    level: Level::Must,
    source: "Gateway API v1.5.1, BackendRef.weight: if 0, no traffic should be forwarded",
    needs: &[Need::WeightZeroPool, Need::EndpointNames],
    plan: |_, settings| Ok(Effort::fixed(&plan(settings)?).in_flight(IN_FLIGHT)),
    run: |ctx| Box::pin(weight_zero(ctx)),
};

/// The smallest leak that must be caught.
const LEAK: f64 = 0.01;
const IN_FLIGHT: usize = 8;

fn plan(settings: &Settings) -> Result<Plan> {
    let question = Question::AtMost {
        null: 0.0,
        bad: LEAK,
    };
    // A correct gateway never leaks: no alpha is spent, as small as it may be.
    Plan::new(question, 1e-9, settings.power)
}

async fn weight_zero(ctx: &Context) -> Result<Outcome> {
    let (model, pool) = ctx
        .target
        .weight_zero_pool()
        .context("a pool of weight 0")?;
    let plan = plan(&ctx.settings)?;
    let client = ctx.client(Connections::KeepAlive)?;
    let mut sample = Sample::start(ctx, &client, model, IN_FLIGHT).await?;
    sample.more(plan.n).await;
    let mut findings = Findings::default();
    let hits = sample.exchanges.iter().filter(|it| is_of(pool, it));
    let (hits, of) = (hits.count() as u64, sample.exchanges.len() as u64);
    findings.add_statistic(plan.decide(format!("share of {} (weight 0)", pool.name), hits, of));
    let summary = format!("{hits} of {of} went to {}", pool.name);
    sample.conclude(findings, summary).await
}
