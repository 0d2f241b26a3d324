//! An idle pool starves no endpoint.

use anyhow::Result;
use poolproof_cases::budget::Rates;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::Effort;
use poolproof_cases::need::{EndpointNames, Find, PoolToLoad};
use poolproof_client::Connections;
use poolproof_client::evidence::served;
use poolproof_model::target::Pool;
use poolproof_model::verdict::{Findings, Outcome};
use poolproof_stats::binomial::Question;
use poolproof_stats::sequential::Sequential;

use crate::mix::Kind;
use crate::sample::{Sample, ShareTest};

pub(super) const CASE: Case = Case {
    id: "distribution/idle",
    requirement: "While all endpoints of a pool are idle, none of them is starved: each gets at least half of an equal share of every kind of request.",
    level: Level::Must,
    source: "GIE v1.5.0, max-score-picker: uniform among equal scores",
    needs: &[PoolToLoad::NEED, EndpointNames::NEED],
    alpha_parts: 1,
    plan: |target, rates| {
        let (_, pool) = PoolToLoad::find(target)?;
        let tests = tests(pool, rates)?;
        Ok(Effort::sequential(tests.iter().map(ShareTest::of_sample)))
    },
    run: |ctx| Box::pin(idle(ctx)),
};

/// Of each kind of request: what holds for each holds for all.
pub(crate) fn tests<'a>(pool: &'a Pool, rates: &Rates) -> Result<Vec<ShareTest<'a>>> {
    let endpoints = pool.endpoints.len() as f64;
    let question = Question::AtLeast {
        null: 0.5 / endpoints,
        bad: 0.05 / endpoints,
    };
    let alpha = rates.alpha / endpoints / Kind::ALL.len() as f64;
    let test = Sequential::new(question, alpha, rates.power)?;
    let tests = pool.endpoints.iter().flat_map(|endpoint| {
        let test = &test;
        Kind::ALL.map(|kind| ShareTest {
            of: format!("share of {} in {}", endpoint.name, kind.in_words()),
            endpoints: vec![endpoint.name.as_str()],
            kind: Some(kind),
            test: test.clone(),
        })
    });
    Ok(tests.collect())
}

async fn idle(ctx: &Context) -> Result<Outcome> {
    let (model, pool) = PoolToLoad::find(&ctx.target)?;
    let tests = tests(pool, &ctx.rates)?;
    let client = ctx.client(Connections::KeepAlive)?;
    let mut sample = Sample::start(ctx, &client, model, 1).await?;
    let mut findings = Findings::default();
    sample.settle(&tests, &mut findings).await;
    let counts = served::by_endpoint(sample.exchanges.iter());
    let summary = format!(
        "{} of {}",
        served::in_words(&counts),
        sample.exchanges.len()
    );
    sample.conclude(findings, summary).await
}
