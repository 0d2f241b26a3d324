//! Requests in progress count for as long as they are silent.

use std::time::Duration;

use anyhow::Result;
use futures_util::future::try_join_all;
use poolproof_cases::ballast::wait_until_idle;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::Effort;
use poolproof_cases::expect;
use poolproof_cases::need::{Find, FullByCount, Need};
use poolproof_client::evidence::control;
use poolproof_client::{Connections, drive, poll};
use poolproof_model::target::Pool;
use poolproof_model::verdict::{Findings, Outcome};

use super::full::held;
use crate::mix::Mix;
use crate::ways::directed;

pub(super) const CASE: Case = Case {
    id: "priority/held-counted",
    requirement: "A pool that is full by the number of requests in progress takes few more than that number, and stays full while their \
                  endpoints are silent for 20 seconds: no held request is sent on. It serves again once their clients have left.",
    level: Level::Must,
    source: "GIE v1.5.0, pkg/epp/framework/plugins/flowcontrol/saturationdetector/concurrency; llm-d/llm-d-router#2295",
    needs: &[Need::time(), FullByCount::NEED],
    alpha_parts: 0,
    plan: |target, rates| {
        let (_, _, full) = FullByCount::find(target)?;
        Ok(Effort::requests(full + HELD + SERVED)
            .in_flight(full + HELD)
            .waits(rates.slow_answer.as_secs_f64() + 1.0))
    },
    run: |ctx| Box::pin(held_counted(ctx)),
};

/// Requests beyond those that fill the pool.
const HELD: usize = 40;
/// Of them, those that may be sent on before a picker has counted the first.
const BEYOND: usize = 20;
/// Those that must be seen to be held.
const SEEN: u64 = (HELD - BEYOND) as u64;
/// Requests that the pool has to serve afterwards.
const SERVED: usize = 8;
const INTERVAL: Duration = Duration::from_millis(2);
/// The share of a held request's time to live up to which the pool is watched.
const TTL_SHARE: f64 = 0.8;

async fn held_counted(ctx: &Context) -> Result<Outcome> {
    let (model, pool, full) = FullByCount::find(&ctx.target)?;
    for endpoint in &pool.endpoints {
        wait_until_idle(&ctx.http, endpoint, ctx.timeouts.drain).await?;
    }
    let ttl = pool.held_ttl_ms.map(Duration::from_millis);
    let lasts = ctx.rates.slow_answer;
    let lasts = ttl.map_or(lasts, |ttl| lasts.min(ttl.mul_f64(TTL_SHARE)));
    let client = ctx.client(Connections::KeepAlive)?;
    let (mut rng, mut mix) = (ctx.rng("prompts"), Mix::default());
    let requests = (0..full + HELD).map(|_| {
        let kind = mix.kind(&mut rng);
        let request = super::request(ctx, &model.name, kind, None, &mut rng);
        directed(request, "stall").timeout(lasts + ctx.timeouts.request)
    });
    let requests: Vec<_> = requests.collect();
    let sent = drive::open_loop(&client, INTERVAL, requests.into_iter()).await;
    let is_own = |id: &str| id.starts_with(client.id_prefix());
    let what = format!("{full} requests at the endpoints");
    let filled = poll::until(what, ctx.timeouts.held, poll::INTERVAL * 4, || async {
        (arrived(ctx, pool, is_own).await.ok()? >= full).then_some(())
    });
    if let Err(error) = filled.await {
        return Ok(Outcome::invalid(format!(
            "the pool did not become full: {error}"
        )));
    }
    tokio::time::sleep(ctx.timeouts.metrics_settle).await;
    let first = arrived(ctx, pool, is_own).await?;
    let in_queue = held(ctx, pool, None)
        .await
        .unwrap_or((full + HELD - first.min(full + HELD)) as u64);

    let more = poll::until(
        "a held request is sent on",
        lasts,
        poll::INTERVAL * 20,
        || async {
            let now = arrived(ctx, pool, is_own).await.ok()?;
            (now > first).then_some(now)
        },
    );
    let more = more.await.map_or(0, |now| now - first);
    drop(sent);
    let mut findings = Findings::default();
    findings.add(expect::that(
        first <= full + BEYOND,
        &format!(
            "requests at the endpoints of {} sent, where {full} fill the pool",
            full + HELD
        ),
        format!("{full} to {}", full + BEYOND),
        first,
    ));
    findings.add(expect::that(
        more == 0,
        &format!("held requests that were sent on while {first} requests in progress were silent, and {full} fill the pool"),
        0,
        more,
    ));
    for endpoint in &pool.endpoints {
        wait_until_idle(&ctx.http, endpoint, ctx.timeouts.drain).await?;
    }
    for _ in 0..SERVED {
        let kind = mix.kind(&mut rng);
        let request = super::request(ctx, &model.name, kind, None, &mut rng);
        let exchange = client.send(request.timeout(ctx.timeouts.request)).await;
        findings.add(expect::success(
            "a request once the silent ones are gone",
            &exchange,
        ));
    }
    if !findings.failed() && in_queue < SEEN {
        return Ok(Outcome::invalid(format!(
            "only {in_queue} of {HELD} requests were held, and {first} were at endpoints"
        )));
    }
    let summary = format!(
        "{in_queue} requests stayed held for {:.0} s while {first} were silent at endpoints that {full} fill",
        lasts.as_secs_f64()
    );
    Ok(findings.outcome(summary))
}

/// How many requests of a client have arrived at the endpoints of a pool.
async fn arrived(ctx: &Context, pool: &Pool, is_own: impl Fn(&str) -> bool) -> Result<usize> {
    let logs = pool
        .endpoints
        .iter()
        .map(|endpoint| control::requests(&ctx.http, endpoint));
    let requests = try_join_all(logs).await?.into_iter().flatten();
    let own = requests.filter(|request| request.id.as_deref().is_some_and(&is_own));
    Ok(own.count())
}
