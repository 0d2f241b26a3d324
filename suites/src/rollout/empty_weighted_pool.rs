//! A weighted pool without endpoints costs its share of the requests, and no more.

use anyhow::{Context as _, Result};
use poolproof_cases::budget::Rates;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::Effort;
use poolproof_cases::expect;
use poolproof_cases::need::{Canary, EndpointNames, Find, Need};
use poolproof_client::evidence::served;
use poolproof_client::{Connections, Exchange, drive};
use poolproof_model::change::{Change, Kind};
use poolproof_model::target::{Model, Pool};
use poolproof_model::verdict::{Findings, Outcome};
use poolproof_stats::binomial::Question;
use poolproof_stats::sequential::{Progress, Sequential};

use super::traffic::{Forms, IN_FLIGHT};
use super::{emptied, refusal};
use crate::faults::timeline::Timeline;
use crate::faults::{ROUNDS_REQUESTS_MAX, expect_return};

pub(super) const CASE: Case = Case {
    id: "rollout/empty-weighted-pool",
    requirement: "While one of the weighted pools of a model has no endpoint, its share of the requests is refused with 503 or 429 \
                  and a reason, all others are served, and the pool gets requests again when it has endpoints.",
    level: Level::Must,
    source: "Gateway API v1.5.1, HTTPRouteRule.backendRefs: requests that a backend without endpoints would have got are refused; \
             GIE v1.5.0, docs/proposals/004: 503 without ready endpoints; istio/istio#61594",
    needs: &[
        Canary::NEED,
        EndpointNames::NEED,
        Need::change(Kind::Member),
    ],
    alpha_parts: 1,
    plan: |target, rates| {
        let model = Canary::find(target)?;
        let test = test(model, lightest(model)?, rates)?;
        let most = test.n_max() + 2 * ROUNDS_REQUESTS_MAX as u64;
        let effort = Effort::sequential([(&test, 1.0)]);
        Ok(effort.in_flight(IN_FLIGHT).at_most(most).waits(1.0))
    },
    run: |ctx| Box::pin(empty_weighted_pool(ctx)),
};

/// The deviation of the refused share that must be caught, as a part of the share.
const DEVIATION: f64 = 0.5;

/// The pool that is emptied.
fn lightest(model: &Model) -> Result<&Pool> {
    let pool = model.weighted_pools().min_by_key(|pool| pool.weight);
    pool.context("a pool with a weight")
}

fn test(model: &Model, pool: &Pool, rates: &Rates) -> Result<Sequential> {
    let share = f64::from(pool.weight) / f64::from(model.total_weight());
    let question = Question::Equal {
        null: share,
        deviation: DEVIATION * share,
    };
    Sequential::new(question, rates.alpha, rates.power)
}

async fn empty_weighted_pool(ctx: &Context) -> Result<Outcome> {
    let model = Canary::find(&ctx.target)?;
    let pool = lightest(model)?;
    if pool.flow_control == Some(true) {
        return Ok(Outcome::skip(format!(
            "the endpoint picker of {} holds requests while its pool is empty",
            pool.name
        )));
    }
    let test = test(model, pool, &ctx.rates)?;
    let mut findings = Findings::default();
    let mut timeline = Timeline::of_pool(&pool.name);
    for endpoint in &pool.endpoints {
        ctx.change(Change::Member {
            endpoint: endpoint.name.clone(),
            member: false,
        })
        .await?;
    }
    timeline.gone();
    let first = emptied(ctx, model, &mut findings).await?;
    let what = format!("request while {} has no endpoint", pool.name);
    if let Some(first) = &first {
        findings.add(refusal::expect(&what, first));
    }
    let mut exchanges: Vec<Exchange> = Vec::new();
    let client = ctx.client(Connections::KeepAlive)?;
    let mut requests = Forms::new(ctx, model, 1, "prompts").given_up_after_refusal(ctx);
    // Where the first refusal hangs or is wrong, that decides.
    while !findings.failed() {
        let refused = exchanges.iter().map(|exchange| !exchange.is_success());
        let missing = match test.progress(refused) {
            Progress::Open { missing } => missing as usize,
            Progress::Ended { look, hits } => {
                let of = format!("share of refused requests while {} is empty", pool.name);
                findings.add_statistic(test.decide(of, look, hits));
                break;
            }
        };
        if ctx.is_late() {
            return Ok(Outcome::inconclusive(format!(
                "{} requests were answered; {} at most would decide",
                exchanges.len(),
                test.n_max()
            )));
        }
        let batch = drive::closed_loop(&client, IN_FLIGHT, requests.by_ref().take(missing));
        exchanges.extend(batch.await);
    }
    timeline.add(&exchanges);
    let (mut refused, mut slowest_ms) = (0, 0);
    for exchange in &exchanges {
        if exchange.is_success() {
            let by = served::endpoint_of(exchange).unwrap_or("nobody");
            let is_its_own = pool.endpoints.iter().any(|endpoint| endpoint.name == by);
            let elsewhere = "served by an endpoint of another pool";
            findings.add(expect::that(!is_its_own, &what, elsewhere, by));
        } else {
            refused += 1;
            slowest_ms = slowest_ms.max(exchange.latency().as_millis());
            findings.add(refusal::expect(&what, exchange));
        }
    }

    timeline.back();
    for endpoint in &pool.endpoints {
        ctx.change(Change::Member {
            endpoint: endpoint.name.clone(),
            member: true,
        })
        .await?;
    }
    if let Some(endpoint) = pool.endpoints.first() {
        expect_return(ctx, model, &endpoint.name, &mut timeline, &mut findings).await?;
    }
    findings.note(format!("the slowest refusal took {slowest_ms} ms"));
    findings.show(timeline.picture());
    Ok(findings.outcome(format!(
        "{refused} of {} requests refused while {} (weight {} of {}) was empty; back in use",
        exchanges.len(),
        pool.name,
        pool.weight,
        model.total_weight()
    )))
}
