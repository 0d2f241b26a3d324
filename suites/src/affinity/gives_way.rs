//! A prefix does not hold prompts at an endpoint that is busy.

use anyhow::Result;
use poolproof_cases::budget::Rates;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::need::{EndpointNames, Find, PrefixAffinity};
use poolproof_client::evidence::served;
use poolproof_client::{Api, Connections, Request, drive, nonce, payload};
use poolproof_model::target::Pool;
use poolproof_model::verdict::Outcome;
use poolproof_stats::binomial::Question;
use poolproof_stats::sequential::Sequential;

use crate::loaded::{self, Load, PoolTest};

pub(super) const CASE: Case = Case {
    id: "affinity/gives-way",
    requirement: "An endpoint with a queue gets (almost) nothing while the others have none, although it has seen a third of \
                  each prompt.",
    level: Level::Should,
    source: "GIE v1.5.0, default configuration: queue 2 outweighs a third of prefix 3: P/scheduling/scorer/prefix and queuedepth",
    needs: &[PrefixAffinity::NEED, EndpointNames::NEED],
    alpha_parts: 1,
    plan: |target, rates| {
        let (model, pool) = PrefixAffinity::find(target)?;
        let effort = loaded::effort(model, 1, &[test(pool, rates)?]);
        Ok(effort.and(PREFIXES_EACH * pool.endpoints.len()))
    },
    run: |ctx| Box::pin(gives_way(ctx)),
};

/// Prefixes that are sent, for each endpoint of the pool: about as many stay at the one that then gets busy.
const PREFIXES_EACH: usize = 32;
/// The nonces of a prefix, of 64 bytes each: 1 KiB.
const PREFIX_NONCES: usize = 16;
/// Requests that wait at the busy endpoint: below the saturation of the pool.
const WAITING: u64 = 3;

/// A picker that goes by prefixes alone sends all of them to the busy endpoint as long as no other one has them.
fn test<'a>(pool: &'a Pool, rates: &Rates) -> Result<PoolTest<'a>> {
    let question = Question::AtMost {
        null: 0.02,
        bad: 0.25,
    };
    let test = Sequential::new(question, rates.alpha, rates.power)?;
    Ok(PoolTest {
        pool,
        kind: None,
        test,
    })
}

async fn gives_way(ctx: &Context) -> Result<Outcome> {
    let (model, pool) = PrefixAffinity::find(&ctx.target)?;
    let mut rng = ctx.rng("prefixes");
    let n = PREFIXES_EACH * pool.endpoints.len();
    let prefixes: Vec<String> = (0..n)
        .map(|_| nonce(&mut rng).repeat(PREFIX_NONCES))
        .collect();
    let mut requests = Vec::new();
    for prefix in &prefixes {
        let body = payload(Api::Completions, model.name.as_str().into(), prefix, 1);
        let request = Request::from_json(Api::Completions, &body);
        requests.push(request.timeout(ctx.timeouts.request));
    }
    let client = ctx.client(Connections::KeepAlive)?;
    let first = drive::closed_loop(&client, 1, requests.into_iter()).await;
    if let Some(failed) = first.iter().find(|exchange| !exchange.is_success()) {
        return Ok(Outcome::invalid(format!(
            "no prefix was placed: {}",
            failed.describe()
        )));
    }
    // The endpoint that has most of them: where prefixes pile up it may be the only one.
    let counts = served::by_endpoint(first.iter());
    let of_pool = pool.endpoints.iter().map(|endpoint| endpoint.name.as_str());
    let busy = of_pool.max_by_key(|name| counts.get(*name).copied().unwrap_or(0));
    let busy = busy.unwrap_or_default();
    let placed = prefixes.into_iter().zip(&first);
    let placed = placed.filter(|(_, first)| served::endpoint_of(first) == Some(busy));
    let placed: Vec<String> = placed.map(|(prefix, _)| prefix).collect();
    if placed.is_empty() {
        return Ok(Outcome::invalid("no answer names an endpoint of the pool"));
    }
    let tests = [test(pool, &ctx.rates)?];
    let load = Load::Waiting(WAITING);
    let outcome = loaded::judge_prefixes(ctx, model, &[busy], load, &tests, &placed).await?;
    Ok(outcome.evidence(format!("{busy} had seen {} prefixes before", placed.len())))
}
