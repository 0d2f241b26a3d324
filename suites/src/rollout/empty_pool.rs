//! A model whose only pool is empty: its requests are refused with a reason, at once.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::Effort;
use poolproof_cases::expect;
use poolproof_cases::need::{Find, Need, PoolToLoad};
use poolproof_client::drive::{self, Sent};
use poolproof_client::{Connections, Exchange};
use poolproof_model::change::{Change, Kind};
use poolproof_model::target::{Model, Pool};
use poolproof_model::verdict::{Findings, Outcome};

use super::traffic::{Forms, TOKENS};
use super::{all_served, emptied, none, refusal};
use crate::faults::timeline::Timeline;
use crate::faults::{ROUNDS_REQUESTS_MAX, STEADY_REQUESTS, expect_served, unwell};
use crate::streams::Whole;

pub(super) const CASE: Case = Case {
    id: "rollout/empty-pool",
    requirement: "While the only pool of a model has no endpoint, each of its requests gets a 503 or 429 with a reason in time or, \
                  where its picker queues, is held and served when the pool has endpoints; they are served again.",
    level: Level::Must,
    source: "GIE v1.5.0, docs/proposals/004: if there are no ready endpoints, the endpoint picker returns 503; \
             kubernetes-sigs/gateway-api-inference-extension#1800: flow control holds requests until there are some",
    needs: &[PoolToLoad::NEED, Need::change(Kind::Member)],
    alpha_parts: 0,
    plan: |_, rates| {
        let plan = none(rates)?;
        let most = plan.n as usize + 3 * ROUNDS_REQUESTS_MAX;
        let effort = Effort::fixed(&plan).and(2 * STEADY_REQUESTS + 1);
        Ok(effort.in_flight(IN_FLIGHT).at_most(most as u64).waits(1.0))
    },
    run: |ctx| Box::pin(empty_pool(ctx)),
};

const IN_FLIGHT: usize = 16;

/// What becomes of a request while the pool is empty.
enum First {
    Answered(Box<Exchange>),
    /// Not answered within the time in which held requests are seen.
    Held(Sent),
}

async fn empty_pool(ctx: &Context) -> Result<Outcome> {
    let (model, pool) = PoolToLoad::find(&ctx.target)?;
    let plan = none(&ctx.rates)?;
    let mut findings = Findings::default();
    let mut timeline = Timeline::of_pool(&pool.name);
    let mut before = Vec::new();
    if let Some(outcome) = unwell(ctx, model, &mut before).await? {
        return Ok(outcome);
    }
    timeline.add(&before);
    set_members(ctx, pool, false).await?;
    timeline.gone();
    let what = format!("request for {} without an endpoint", model.name);
    let client = ctx.client(Connections::KeepAlive)?;
    let requests = Forms::new(ctx, model, TOKENS, "prompts");
    let first = first(ctx, model, pool, &mut findings).await?;
    let mut held = Vec::new();
    match first {
        Some(First::Answered(first)) => {
            findings.add(refusal::expect(&what, &first));
            // Where the first answer is wrong or late, that decides: each of the others may take as long.
            if !findings.failed() {
                let requests = requests.given_up_after_refusal(ctx).take(plan.n as usize);
                let exchanges = drive::closed_loop(&client, IN_FLIGHT, requests).await;
                timeline.add(&exchanges);
                let wrong = exchanges
                    .iter()
                    .filter(|exchange| refusal::expect(&what, exchange).is_err());
                let wrong = wrong.count() as u64;
                for exchange in &exchanges {
                    findings.add(refusal::expect(&what, exchange));
                }
                let slowest = exchanges.iter().map(Exchange::latency).max();
                let slowest_ms = slowest.unwrap_or_default().as_millis();
                findings.add_statistic(plan.decide("share not refused", wrong, plan.n));
                findings.note(format!("the slowest refusal took {slowest_ms} ms"));
            }
        }
        Some(First::Held(first)) => {
            held.push(first);
            let due = requests.take(plan.n as usize);
            let due = due.map(|request| (Duration::ZERO, request));
            held.extend(drive::scheduled(&client, Instant::now(), due).await);
            // Until the last of them has reached the queue.
            tokio::time::sleep(ctx.timeouts.prompt_answer).await;
        }
        None => {}
    }

    timeline.back();
    let back_at = Instant::now();
    set_members(ctx, pool, true).await?;
    let what = "requests once the pool has endpoints again";
    let recovery = expect_served(ctx, model, &mut timeline, &mut findings, what).await?;
    let became = if held.is_empty() {
        format!("{} requests refused with a reason", plan.n)
    } else {
        let n = held.len();
        let lost = expect_held(ctx, held, back_at, &mut timeline, &mut findings).await?;
        findings.add_statistic(plan.decide(
            "share of held requests that were lost",
            lost,
            n as u64,
        ));
        format!("{n} requests held until the pool had endpoints")
    };
    findings.note(format!("served again {}", recovery.in_words()));
    findings.show(timeline.picture());
    Ok(findings.outcome(format!("{became}; served again")))
}

async fn set_members(ctx: &Context, pool: &Pool, member: bool) -> Result<()> {
    for endpoint in &pool.endpoints {
        ctx.change(Change::Member {
            endpoint: endpoint.name.clone(),
            member,
        })
        .await?;
    }
    Ok(())
}

/// What becomes of the first request that is not served.
async fn first(
    ctx: &Context,
    model: &Model,
    pool: &Pool,
    findings: &mut Findings,
) -> Result<Option<First>> {
    if pool.flow_control == Some(false) {
        let first = emptied(ctx, model, findings).await?;
        return Ok(first.map(|first| First::Answered(first.into())));
    }
    let client = ctx.client(Connections::KeepAlive)?;
    let (begun, mut served) = (Instant::now(), 0);
    for request in Forms::new(ctx, model, TOKENS, "until it is empty") {
        let due = std::iter::once((Duration::ZERO, request));
        let mut sent = drive::scheduled(&client, Instant::now(), due).await;
        let Some(mut sent) = sent.pop() else { break };
        match tokio::time::timeout(ctx.timeouts.held, &mut sent).await {
            Ok(exchange) => {
                let exchange = exchange.context("a request of ours")?;
                if !exchange.is_success() {
                    return Ok(Some(First::Answered(exchange.into())));
                }
            }
            Err(_) => return Ok(Some(First::Held(sent))),
        }
        served += 1;
        if begun.elapsed() > ctx.timeouts.recovery {
            break;
        }
    }
    findings.add(all_served(served, begun));
    Ok(None)
}

/// Adds whether held requests were served once the pool had endpoints, or refused before. Returns how many were lost.
async fn expect_held(
    ctx: &Context,
    held: Vec<Sent>,
    back_at: Instant,
    timeline: &mut Timeline,
    findings: &mut Findings,
) -> Result<u64> {
    let by = tokio::time::Instant::from_std(back_at) + ctx.timeouts.recovery;
    let mut exchanges = Vec::new();
    let mut lost = 0;
    for mut sent in held {
        match tokio::time::timeout_at(by, &mut sent).await {
            Ok(exchange) => exchanges.push(exchange.context("a request of ours")?),
            Err(_) => {
                lost += 1;
                findings.add(expect::that(
                    false,
                    "request that was held without an endpoint",
                    "served when the pool has endpoints",
                    format!("no answer {:?} after that", ctx.timeouts.recovery),
                ));
            }
        }
    }
    let whole = Whole::like(exchanges.iter(), TOKENS);
    for exchange in &exchanges {
        let found = if exchange.ended_at < back_at {
            refusal::expect("request without an endpoint", exchange)
        } else {
            whole.expect("request that was held without an endpoint", exchange)
        };
        lost += u64::from(found.is_err());
        findings.add(found);
    }
    timeline.add(&exchanges);
    Ok(lost)
}
