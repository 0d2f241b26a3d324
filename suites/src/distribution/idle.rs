//! An idle pool starves no endpoint.

use anyhow::{Context as _, Result};
use poolproof_harness::case::{Case, Level, Need};
use poolproof_harness::client::{Api, Connections, Request, drive};
use poolproof_harness::context::Context;
use poolproof_harness::evidence::served::{self, CrossCheck};
use poolproof_harness::expect;
use poolproof_harness::stats::binomial::{Plan, Question};
use poolproof_harness::stats::{ALPHA, POWER};
use poolproof_harness::verdict::{Findings, Outcome};

pub(super) const CASE: Case = Case {
    id: "distribution/idle",
    requirement: "While all endpoints of a pool are idle, none of them is starved: each gets at least half of an equal share.",
    level: Level::Must,
    source: "GIE v1.5.0, max-score-picker: uniform among equal scores",
    needs: &[Need::PoolToLoad, Need::EndpointNames],
    run: |ctx| Box::pin(idle(ctx)),
};

async fn idle(ctx: &Context) -> Result<Outcome> {
    let (model, pool) = ctx.target.pool_to_load().context("a pool to load")?;
    let endpoints = pool.endpoints.len() as f64;
    let question = Question::AtLeast {
        null: 0.5 / endpoints,
        bad: 0.05 / endpoints,
    };
    let plan = Plan::new(question, ALPHA / endpoints, POWER)?;
    let client = ctx.client(Connections::KeepAlive)?;
    let mut rng = ctx.rng("prompts");
    let check = CrossCheck::start(&ctx.http, std::iter::once(pool)).await?;
    let requests = (0..plan.n).map(|_| {
        Request::new(Api::Completions, &model.name, 1, &mut rng).timeout(ctx.timeouts.request)
    });
    let exchanges = drive::closed_loop(&client, 1, requests).await;
    let counts = served::by_endpoint(exchanges.iter());
    let sources = check
        .finish(&ctx.http, &counts, false, ctx.timeouts.counters)
        .await?;
    let mut findings = Findings::default();
    for exchange in &exchanges {
        findings.add(expect::success("every request of the sample", exchange));
    }
    for endpoint in &pool.endpoints {
        let hits = counts.get(&endpoint.name).copied().unwrap_or(0);
        let of = format!("share of {}", endpoint.name);
        findings.add_statistic(plan.decide(of, hits, plan.n));
    }
    match sources {
        Ok(sources) => findings.note(sources),
        Err(disagreement) => return Ok(Outcome::invalid(disagreement)),
    }
    Ok(findings.outcome(format!("{} of {}", served::in_words(&counts), plan.n)))
}
