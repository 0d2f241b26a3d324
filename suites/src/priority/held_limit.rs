//! No more requests of a priority are held than its limit allows.

use std::time::Duration;

use anyhow::Result;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::Effort;
use poolproof_cases::expect;
use poolproof_cases::need::{Find, HeldInNumber};
use poolproof_client::drive::{self, Sent};
use poolproof_client::{Connections, Ending, poll};
use poolproof_model::verdict::{Findings, Outcome};

use super::full::{Full, held, open};
use super::stall::wait_while_fewer;
use crate::mix::Mix;
use crate::times::expect_within;

pub(super) const CASE: Case = Case {
    id: "priority/held-limit",
    requirement: "While a pool is full, exactly as many requests of a priority are held as its limit allows; the rest get 429 at once, and \
                  requests of another priority are held as before. What is held is served once the pool has room.",
    level: Level::Must,
    source: "GIE v1.5.0, EndpointPickerConfig, flowControl.priorityBands[].maxRequests, and pkg/epp/requestcontrol/admission.go \
             (RejectedCapacity); llm-d/llm-d-router#2649",
    needs: &[HeldInNumber::NEED],
    alpha_parts: 0,
    plan: |target, _| {
        let (.., limit) = HeldInNumber::find(target)?;
        let requests = limit.requests + BEYOND + OTHERS;
        Ok(Effort::requests(requests).in_flight(requests).waits(1.0))
    },
    run: |ctx| Box::pin(held_limit(ctx)),
};

/// Requests beyond the limit: of all kinds.
const BEYOND: usize = 40;
/// Requests of another priority.
const OTHERS: usize = 8;
const INTERVAL: Duration = Duration::from_millis(1);
/// The status of a request for which there is no room.
const NO_ROOM: u16 = 429;

async fn held_limit(ctx: &Context) -> Result<Outcome> {
    let (model, pool, limit) = HeldInNumber::find(&ctx.target)?;
    let full = Full::fill(ctx, model, pool).await?;
    let client = ctx.client(Connections::KeepAlive)?;
    let (mut rng, mut mix) = (ctx.rng("prompts"), Mix::default());
    let mut requests = |n: usize, objective: &str| -> Vec<_> {
        let requests = (0..n).map(|_| {
            let kind = mix.kind(&mut rng);
            super::request(ctx, &model.name, kind, Some(objective), &mut rng)
        });
        requests.collect()
    };
    let own = requests(limit.requests, limit.objective).into_iter();
    let mut own = drive::open_loop(&client, INTERVAL, own).await;
    let what = format!("{} requests are held", limit.requests);
    let at_limit = poll::until(what, ctx.timeouts.held, poll::INTERVAL, || async {
        let held = held(ctx, pool, Some(limit.priority)).await;
        let held = held.unwrap_or(open(&own) as u64);
        (held >= limit.requests as u64).then_some(())
    });
    // If fewer are held, more are refused: that is judged below.
    let _ = at_limit.await;
    // Only now, when nothing else is under way that they would have to wait for.
    let beyond = requests(BEYOND, limit.objective).into_iter();
    own.extend(drive::open_loop(&client, INTERVAL, beyond).await);
    let n = limit.requests + BEYOND;
    let others = requests(OTHERS, limit.other).into_iter();
    let others = drive::open_loop(&client, INTERVAL, others).await;

    let what = format!("{} requests are held and {BEYOND} refused", limit.requests);
    let settled = poll::until(what, ctx.timeouts.held, poll::INTERVAL, || async {
        let held = held(ctx, pool, Some(limit.priority)).await;
        let is_at_limit = held.is_none_or(|held| held == limit.requests as u64);
        (n - open(&own) == BEYOND && is_at_limit).then_some(())
    });
    // Whether it is so is judged below.
    let _ = settled.await;
    let gauge = held(ctx, pool, Some(limit.priority)).await;
    let (own_open, others_open) = (open(&own), open(&others));
    let doubt = full.doubt().await;
    drop(full);
    wait_while_fewer(|| open(&own) + open(&others), ctx.timeouts.stall).await;

    let mut findings = Findings::default();
    let refused = n - own_open;
    findings.add(expect::that(
        refused == BEYOND,
        &format!(
            "{} requests refused of {n}, while {} may be held",
            limit.objective, limit.requests
        ),
        BEYOND,
        refused,
    ));
    if let Some(gauge) = gauge {
        findings.add(expect::that(
            gauge == limit.requests as u64,
            &format!(
                "requests of priority {} held by the endpoint picker's metrics",
                limit.priority
            ),
            limit.requests,
            gauge,
        ));
    }
    findings.add(expect::that(
        others_open == OTHERS,
        &format!("{} requests held of {OTHERS}", limit.other),
        OTHERS,
        others_open,
    ));
    judge(ctx, own, limit.objective, true, &mut findings).await?;
    judge(ctx, others, limit.other, false, &mut findings).await?;
    let summary = format!(
        "{} {} requests held and {BEYOND} refused with {NO_ROOM}; those that were held were served afterwards",
        limit.requests, limit.objective
    );
    Ok(findings.outcome_unless(summary, doubt))
}

/// Adds whether each request was served in the end or, if its objective has a limit, refused at once.
async fn judge(
    ctx: &Context,
    sent: Vec<Sent>,
    objective: &str,
    has_limit: bool,
    findings: &mut Findings,
) -> Result<()> {
    let (mut lost, mut times) = (0, Vec::new());
    for task in sent {
        if !task.is_finished() {
            lost += 1;
            continue;
        }
        let exchange = task.await?;
        if exchange.is_success() {
            continue;
        }
        let took = exchange.latency_from_send();
        let is_refused = exchange.status == Some(NO_ROOM) && exchange.ending == Ending::Complete;
        findings.add(expect::that(
            is_refused && has_limit,
            &format!("a held {objective} request"),
            if has_limit {
                format!("200, or {NO_ROOM} at once")
            } else {
                "200".to_owned()
            },
            format!("after {} ms: {}", took.as_millis(), exchange.describe()),
        ));
        times.push(took);
    }
    expect_within(
        &format!("{objective} requests that are refused"),
        &times,
        Duration::ZERO..=ctx.timeouts.prompt_answer,
        ctx.timeouts.held,
        findings,
    );
    let what = format!(
        "held {objective} requests without an answer when nothing had moved for {:?}",
        ctx.timeouts.stall
    );
    findings.add(expect::that(lost == 0, &what, 0, lost));
    Ok(())
}
