//! A sample of a split, and what it says against the weights.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use poolproof_harness::client::{Api, Client, Exchange, Request, drive};
use poolproof_harness::context::Context;
use poolproof_harness::evidence::served::{self, CrossCheck};
use poolproof_harness::expect;
use poolproof_harness::stats::binomial::{Plan, Question};
use poolproof_harness::stats::{POWER, SPLIT_ALPHA};
use poolproof_harness::target::{Model, Pool};
use poolproof_harness::verdict::{Findings, Outcome};

/// Exchanges of one model, in the order in which they were sent.
pub(super) struct Sample {
    pub(super) exchanges: Vec<Exchange>,
    /// By which sources it is known who served them, or what they disagree about.
    pub(super) sources: Result<String, String>,
}

/// Sends `n` requests for a model, `in_flight` at a time, and notes who served them.
pub(super) async fn sample(
    ctx: &Context,
    client: &Client,
    model: &Model,
    n: u64,
    in_flight: usize,
) -> Result<Sample> {
    let mut rng = ctx.rng("prompts");
    let check = CrossCheck::start(&ctx.http, model.pools.iter()).await?;
    let requests = (0..n).map(|_| {
        Request::new(Api::Completions, &model.name, 1, &mut rng).timeout(ctx.timeouts.request)
    });
    let exchanges = drive::closed_loop(client, in_flight, requests).await;
    let answered = served::by_endpoint(exchanges.iter());
    let timeout = ctx.timeouts.counters;
    let sources = check.finish(&ctx.http, &answered, false, timeout).await?;
    Ok(Sample { exchanges, sources })
}

/// The pool whose share is judged: the lightest of those with a weight. With two pools it settles the other as well.
pub(super) fn judged(model: &Model) -> Result<(&Pool, f64)> {
    let pool = model
        .weighted_pools()
        .min_by_key(|pool| pool.weight)
        .context("a pool with a weight")?;
    let share = f64::from(pool.weight) / f64::from(model.total_weight());
    Ok((pool, share))
}

/// Whether a pool served an exchange.
pub(super) fn is_of(pool: &Pool, exchange: &Exchange) -> bool {
    let name = served::endpoint_of(exchange);
    name.is_some_and(|name| pool.endpoints.iter().any(|e| e.name == name))
}

/// Judges the shares of a whole run, over connections as the client makes them.
pub(super) async fn judge(ctx: &Context, client: &Client, in_flight: usize) -> Result<Outcome> {
    let model = ctx.target.canary().context("a canary")?;
    let (_, lightest) = judged(model)?;
    let pools: Vec<&Pool> = model.weighted_pools().collect();
    // All shares but one are free to differ; the last is what they leave.
    let alpha = SPLIT_ALPHA / (pools.len() - 1) as f64;
    let plan_of = |share: f64| {
        let question = Question::Equal {
            null: share,
            deviation: ctx.settings.split_tolerance,
        };
        Plan::new(question, alpha, POWER)
    };
    let share_of = |pool: &Pool| f64::from(pool.weight) / f64::from(model.total_weight());
    let mut n = plan_of(lightest)?.n;
    if pools.len() > 2 {
        for pool in &pools {
            n = n.max(plan_of(share_of(pool))?.n);
        }
    }
    let sample = sample(ctx, client, model, n, in_flight).await?;
    let mut findings = Findings::default();
    let served = answered(&mut findings, &sample);
    let mut shares = BTreeMap::new();
    let mut by_weight = pools.clone();
    by_weight.sort_by_key(|pool| pool.weight);
    for pool in &by_weight {
        let hits = served.iter().filter(|e| is_of(pool, e)).count() as u64;
        shares.insert(pool.name.clone(), hits);
        if shares.len() < pools.len() {
            let question = plan_of(share_of(pool))?.question;
            let plan = Plan::of_size(question, served.len() as u64, alpha);
            let of = format!("share of {} (weight {})", pool.name, pool.weight);
            findings.add_statistic(plan.decide(of, hits, served.len() as u64));
        }
    }
    conclude(
        findings,
        sample.sources,
        format!("{} of {n}", served::in_words(&shares)),
    )
}

/// The exchanges that were answered with 200; the others are findings.
pub(super) fn answered<'a>(findings: &mut Findings, sample: &'a Sample) -> Vec<&'a Exchange> {
    for exchange in &sample.exchanges {
        findings.add(expect::success("every request of the sample", exchange));
    }
    let answered = sample.exchanges.iter().filter(|e| e.is_success());
    answered.collect()
}

/// The outcome; a sample whose sources disagree is invalid whatever it says.
pub(super) fn conclude(
    mut findings: Findings,
    sources: Result<String, String>,
    summary: String,
) -> Result<Outcome> {
    match sources {
        Ok(sources) => {
            findings.note(sources);
            Ok(findings.outcome(summary))
        }
        Err(disagreement) => Ok(Outcome::invalid(disagreement)),
    }
}
