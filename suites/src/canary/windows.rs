//! The split in every window of the run: an average can hide a canary that gets nothing, then twice its share.

use anyhow::{Context as _, Result};
use poolproof_harness::case::{Case, Level, Need};
use poolproof_harness::client::Connections;
use poolproof_harness::context::Context;
use poolproof_harness::stats::binomial::{Plan, Question};
use poolproof_harness::stats::{POWER, SPLIT_ALPHA};
use poolproof_harness::verdict::{Findings, Outcome};

use super::split;

pub(super) const CASE: Case = Case {
    id: "canary/windows",
    requirement: "In every window of a run the canary gets its share: never nothing, never twice as much.",
    level: Level::Must,
    source: "Gateway API v1.5.1, BackendRef.weight; exact binomial per window, Bonferroni over the windows",
    needs: &[Need::Canary, Need::EndpointNames],
    run: |ctx| Box::pin(windows(ctx)),
};

const WINDOWS: u64 = 8;
const IN_FLIGHT: usize = 8;

async fn windows(ctx: &Context) -> Result<Outcome> {
    let model = ctx.target.canary().context("a canary")?;
    let (pool, share) = split::judged(model)?;
    let question = Question::Equal {
        null: share,
        deviation: share,
    };
    let plan = Plan::new(question, SPLIT_ALPHA / WINDOWS as f64, POWER)?;
    let client = ctx.client(Connections::KeepAlive)?;
    let sample = split::sample(ctx, &client, model, plan.n * WINDOWS, IN_FLIGHT).await?;
    let mut findings = Findings::default();
    split::answered(&mut findings, &sample);
    let mut counts = Vec::new();
    for (number, window) in sample.exchanges.chunks(plan.n as usize).enumerate() {
        let hits = window.iter().filter(|e| split::is_of(pool, e)).count() as u64;
        counts.push(hits);
        let of = format!(
            "share of {} in window {} of {WINDOWS}",
            pool.name,
            number + 1
        );
        findings.add_statistic(plan.decide(of, hits, window.len() as u64));
    }
    let summary = format!("{} got {counts:?} of {} in each window", pool.name, plan.n);
    split::conclude(findings, sample.sources, summary)
}
