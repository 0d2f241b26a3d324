//! The split in every window of the run: an average can hide a canary that gets nothing, then twice its share.

use anyhow::Result;
use poolproof_cases::budget::Rates;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::Effort;
use poolproof_cases::need::{Canary, EndpointNames, Find};
use poolproof_client::Connections;
use poolproof_model::picture::Picture;
use poolproof_model::target::Model;
use poolproof_model::verdict::{Findings, Outcome};
use poolproof_stats::binomial::{Plan, Question};

use super::split;
use crate::sample::{Sample, is_of};

pub(super) const CASE: Case = Case {
    id: "canary/windows",
    requirement: "In every window of a run the canary gets its share: never nothing, never twice as much.",
    level: Level::Must,
    source: "Gateway API v1.5.1, BackendRef.weight; exact binomial per window, Bonferroni over the windows",
    needs: &[Canary::NEED, EndpointNames::NEED],
    alpha_parts: 2,
    plan: |target, rates| {
        let model = Canary::find(target)?;
        let windows = Effort::fixed(&plan(model, rates)?).times(WINDOWS);
        Ok(windows.in_flight(IN_FLIGHT))
    },
    run: |ctx| Box::pin(windows(ctx)),
};

const WINDOWS: usize = 8;
const IN_FLIGHT: usize = 8;

/// The test of one window.
fn plan(model: &Model, rates: &Rates) -> Result<Plan> {
    let (_, share) = split::judged(model)?;
    let question = Question::Equal {
        null: share,
        deviation: share,
    };
    Plan::new(question, rates.alpha / WINDOWS as f64, rates.power)
}

async fn windows(ctx: &Context) -> Result<Outcome> {
    let model = Canary::find(&ctx.target)?;
    let (pool, _) = split::judged(model)?;
    let plan = plan(model, &ctx.rates)?;
    let client = ctx.client(Connections::KeepAlive)?;
    let mut sample = Sample::start(ctx, &client, model, IN_FLIGHT).await?;
    sample.more(plan.n * WINDOWS as u64).await;
    let mut findings = Findings::default();
    let mut counts = Vec::new();
    for (number, window) in sample.exchanges.chunks(plan.n as usize).enumerate() {
        let hits = window.iter().filter(|it| is_of(pool, it)).count() as u64;
        counts.push(hits);
        let of = format!(
            "share of {} in window {} of {WINDOWS}",
            pool.name,
            number + 1
        );
        findings.add_statistic(plan.decide(of, hits, window.len() as u64));
    }
    let bars = counts
        .iter()
        .zip(1..)
        .map(|(hits, number)| (number.to_string(), *hits as f64));
    let title = format!("requests of {} in each window of {}", pool.name, plan.n);
    findings.show(Picture::bars(title, "requests", bars.collect()));
    let summary = format!("{} got {counts:?} of {} in each window", pool.name, plan.n);
    sample.conclude(findings, summary).await
}
