//! A pool of weight 0 gets nothing.

use anyhow::Result;
use poolproof_cases::budget::Rates;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::Effort;
use poolproof_cases::need::{EndpointNames, Find, WeightZeroPool};
use poolproof_client::Connections;
use poolproof_model::verdict::{Findings, Outcome};
use poolproof_stats::binomial::{Plan, Question};

use crate::sample::{Sample, is_of};

pub(super) const CASE: Case = Case {
    id: "canary/weight-zero",
    requirement: "A pool of weight 0 gets no request.",
    level: Level::Must,
    source: "Gateway API v1.5.1, BackendRef.weight: if 0, no traffic should be forwarded",
    needs: &[WeightZeroPool::NEED, EndpointNames::NEED],
    alpha_parts: 0,
    plan: |_, rates| Ok(Effort::fixed(&plan(rates)?).in_flight(IN_FLIGHT)),
    run: |ctx| Box::pin(weight_zero(ctx)),
};

/// The smallest leak that must be caught.
const LEAK: f64 = 0.01;
const IN_FLIGHT: usize = 8;

fn plan(rates: &Rates) -> Result<Plan> {
    let question = Question::AtMost {
        null: 0.0,
        bad: LEAK,
    };
    // A correct gateway never leaks: one leak fails it at any alpha.
    Plan::new(question, rates.alpha, rates.power)
}

async fn weight_zero(ctx: &Context) -> Result<Outcome> {
    let (model, pool) = WeightZeroPool::find(&ctx.target)?;
    let plan = plan(&ctx.rates)?;
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
