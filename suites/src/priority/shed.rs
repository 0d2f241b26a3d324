//! Without flow control: batch is shed when the pool is saturated, not before, and interactive is not.

use anyhow::Result;
use futures_util::future::try_join_all;
use poolproof_cases::ballast::{Ballast, wait_until_idle};
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::Effort;
use poolproof_cases::expect;
use poolproof_cases::need::{Find, ShedByPriority};
use poolproof_client::evidence::scrapes;
use poolproof_client::evidence::watch::Watch;
use poolproof_client::{Client, Connections, Ending, Exchange, drive};
use poolproof_model::target::{Endpoint, Model};
use poolproof_model::verdict::{Findings, Outcome};
use std::time::{Duration, Instant};

use crate::mix::Mix;

pub(super) const CASE: Case = Case {
    id: "priority/shed",
    requirement: "Without flow control, batch requests get 429 when every endpoint is full, and not before; interactive \
                  ones are admitted.",
    level: Level::Must,
    source: "GIE v1.5.0, pkg/epp/requestcontrol/admission.go (LegacyAdmissionController); utilization-detector defaults",
    needs: &[ShedByPriority::NEED],
    alpha_parts: 0,
    plan: |_, _| Ok(Effort::requests(3 * REQUESTS).waits(2.0)),
    run: |ctx| Box::pin(shed(ctx)),
};

const REQUESTS: usize = 20;
const INTERVAL: Duration = Duration::from_millis(5);
/// Waiting requests at one endpoint of each pool: far from a full pool.
const WAITING_AT_ONE: u64 = 2;
/// Waiting requests at every endpoint: above the threshold of 5 (GIE v1.5.0, queueDepthThreshold) by enough that a
/// reading in between does not fall below it.
const WAITING_AT_ALL: u64 = 10;
const FULL: f64 = 5.0;

async fn shed(ctx: &Context) -> Result<Outcome> {
    let (model, classes) = ShedByPriority::find(&ctx.target)?;
    let (interactive, batch) = (classes.interactive, classes.batch);
    let all: Vec<Endpoint> = model
        .weighted_pools()
        .flat_map(|p| p.endpoints.clone())
        .collect();
    let some: Vec<Endpoint> = model
        .weighted_pools()
        .filter(|pool| pool.endpoints.len() > 1)
        .filter_map(|pool| pool.endpoints.first().cloned())
        .collect();
    for endpoint in &all {
        wait_until_idle(&ctx.http, endpoint, ctx.timeouts.drain).await?;
    }
    let clients = (
        ctx.client(Connections::KeepAlive)?,
        ctx.client(Connections::KeepAlive)?,
    );
    let mut findings = Findings::default();

    let ballast = load(ctx, model, &some, WAITING_AT_ONE).await?;
    let early = send(ctx, &clients.0, model, batch, "early").await;
    release(ballast).await?;
    let refused = refusals(&early);
    findings.add(expect::that(
        refused == 0,
        &format!("batch requests refused of {REQUESTS} while only some endpoints had a queue"),
        0,
        refused,
    ));

    let ballast = load(ctx, model, &all, WAITING_AT_ALL).await?;
    let watch = Watch::start(&ctx.http, &all);
    tokio::time::sleep(ctx.timeouts.metrics_settle).await;
    let (begun_at, begun_us) = (Instant::now(), scrapes::now_us());
    let (late, preferred) = tokio::join!(
        send(ctx, &clients.0, model, batch, "late"),
        send(ctx, &clients.1, model, interactive, "interactive"),
    );
    let ended_at = Instant::now();
    watch.read_after(ended_at).await;
    let full = watch.held(begun_at, ended_at, |reading| reading.waiting >= FULL);
    let starved = scrapes::starved(&ctx.http, &all, begun_us).await;
    release(ballast).await?;

    let shed = refusals(&late);
    findings.add(expect::that(
        shed == REQUESTS,
        &format!("batch requests shed with 429 of {REQUESTS} while every endpoint had {FULL} or more waiting"),
        REQUESTS,
        shed,
    ));
    let refused = preferred
        .iter()
        .filter(|e| e.status.is_some_and(|s| s >= 400))
        .count();
    findings.add(expect::that(
        refused == 0,
        &format!("interactive requests refused of {REQUESTS} while every endpoint was full"),
        0,
        refused,
    ));
    let doubt = match full {
        true => starved,
        false => Some(format!(
            "not every endpoint had {FULL} waiting all the time"
        )),
    };
    let summary = format!(
        "{shed} of {REQUESTS} batch requests shed on a full pool, 0 before; no interactive one"
    );
    Ok(findings.outcome_unless(summary, doubt))
}

async fn load(
    ctx: &Context,
    model: &Model,
    endpoints: &[Endpoint],
    waiting: u64,
) -> Result<Vec<Ballast>> {
    let load = endpoints
        .iter()
        .map(|endpoint| Ballast::waiting(ctx, endpoint, &model.name, waiting));
    let load = try_join_all(load).await?;
    tokio::time::sleep(ctx.timeouts.metrics_settle).await;
    Ok(load)
}

async fn release(ballast: Vec<Ballast>) -> Result<()> {
    try_join_all(ballast.into_iter().map(Ballast::release)).await?;
    Ok(())
}

/// Sends requests of a class. One that is neither refused nor served soon was admitted and waits at an endpoint; it is
/// given up then, and ends as timed out.
async fn send(
    ctx: &Context,
    client: &Client,
    model: &Model,
    objective: &str,
    purpose: &str,
) -> Vec<Exchange> {
    let (mut rng, mut mix) = (ctx.rng(purpose), Mix::default());
    let requests = (0..REQUESTS).map(|_| {
        let kind = mix.kind(&mut rng);
        let request = super::request(ctx, &model.name, kind, Some(objective), &mut rng);
        request.timeout(ctx.timeouts.prompt_answer)
    });
    let mut exchanges = Vec::new();
    for task in drive::open_loop(client, INTERVAL, requests).await {
        // A send that panicked has said so on standard error.
        exchanges.extend(task.await.ok());
    }
    exchanges
}

fn refusals(exchanges: &[Exchange]) -> usize {
    let refused = |e: &&Exchange| e.status == Some(429) && e.ending == Ending::Complete;
    exchanges.iter().filter(refused).count()
}
