//! A request that takes longer than its route allows gets 504, and its endpoint stops.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Result;
use futures_util::future::try_join_all;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::Effort;
use poolproof_cases::expect;
use poolproof_cases::need::{EndpointLogs, Find, RouteTimeout};
use poolproof_client::evidence::control::{self, LoggedRequest, Outcome as Ended};
use poolproof_client::evidence::scrapes;
use poolproof_client::poll;
use poolproof_model::verdict::{Findings, Outcome};

use crate::mix::Kind;
use crate::times::expect_within;
use crate::ways::{Clients, VERSIONS_REQUESTS, directed};

pub(super) const CASE: Case = Case {
    id: "errors/route-timeout",
    requirement: "A request that is not answered within the timeout of its route gets 504 about a second later at most, and its endpoint stops \
                  working for it within two seconds; a request that is answered in time is not affected.",
    level: Level::Must,
    source: "Gateway API v1.5.1, HTTPRouteTimeouts, request; envoyproxy/gateway#4478, envoyproxy/gateway#7099",
    needs: &[RouteTimeout::NEED, EndpointLogs::NEED],
    alpha_parts: 0,
    plan: |target, _| {
        let (_, timeout) = RouteTimeout::find(target)?;
        let requests = STALLED + IN_TIME + VERSIONS_REQUESTS;
        Ok(Effort::requests(requests)
            .in_flight(STALLED)
            .waits(timeout.as_secs_f64()))
    },
    run: |ctx| Box::pin(route_timeout(ctx)),
};

/// Requests that their endpoint never answers: a fault in one of five is caught with a power of 0.995. They wait together.
const STALLED: usize = 24;
/// Requests that their endpoint answers within the timeout.
const IN_TIME: usize = 8;
const TOKENS: u32 = 4;
/// How long an endpoint may go on after the client has its 504.
const FREED: Duration = Duration::from_secs(2);
/// The share of the timeout that a request has to have.
const EARLIEST: f64 = 0.9;

async fn route_timeout(ctx: &Context) -> Result<Outcome> {
    let (model, timeout) = RouteTimeout::find(&ctx.target)?;
    let clients = Clients::of(ctx, model).await?;
    let mut rng = ctx.rng("prompts");
    let mut requests = |n: usize| -> Vec<_> {
        let kinds = Kind::ALL.iter().cycle().take(n);
        kinds
            .map(|kind| kind.full_request(ctx, model, TOKENS, &mut rng))
            .collect()
    };
    let in_time = requests(IN_TIME);
    let latest = timeout + ctx.timeouts.held;
    let stalled = requests(STALLED)
        .into_iter()
        .map(|request| directed(request, "stall").timeout(latest));
    let stalled: Vec<_> = stalled.collect();
    let mut findings = Findings::default();
    for exchange in &clients.send(IN_TIME, Kind::ALL.len(), in_time).await {
        findings.add(expect::success(
            "a request that is answered in time",
            exchange,
        ));
    }
    let mut times = Vec::new();
    let exchanges = clients.send(STALLED, Kind::ALL.len(), stalled).await;
    for (exchange, kind) in exchanges.iter().zip(Kind::ALL.iter().cycle()) {
        let what = format!("a request that is never answered ({})", kind.in_words());
        findings.add(expect::status(&what, exchange, 504));
        times.push(exchange.latency());
    }
    expect_within(
        "requests that are never answered",
        &times,
        timeout.mul_f64(EARLIEST)..=timeout + ctx.timeouts.prompt_answer,
        latest,
        &mut findings,
    );
    let stopped = poll::until("endpoints stop", FREED, poll::INTERVAL * 4, || async {
        let logged = logged(ctx).await.ok()?;
        let mut entries = exchanges
            .iter()
            .filter_map(|exchange| logged.get(&exchange.id));
        entries
            .all(|entry| entry.outcome != Ended::Open)
            .then_some(())
    });
    // What did not stop is judged below.
    let _ = stopped.await;
    let logged = logged(ctx).await?;
    for exchange in &exchanges {
        let ended_us = scrapes::now_us() - exchange.ended_at.elapsed().as_micros() as u64;
        let limit_us = ended_us + FREED.as_micros() as u64;
        let entry = logged.get(&exchange.id);
        let stopped = entry.is_some_and(|entry| {
            entry.outcome == Ended::Aborted && entry.finished_us.is_some_and(|at| at <= limit_us)
        });
        findings.add(expect::that(
            stopped,
            "a request that got its 504",
            format!("stopped by its endpoint within {FREED:?}"),
            match entry {
                None => "it never arrived".to_owned(),
                Some(entry) => format!("{:?}", entry.outcome),
            },
        ));
    }
    Ok(findings.outcome(format!(
        "{STALLED} requests that are never answered got 504 after {} ms, and their endpoints stopped; {IN_TIME} that are answered in time were \
         served, {}",
        timeout.as_millis(),
        clients.in_words()
    )))
}

/// The requests that endpoints logged, by their ids.
async fn logged(ctx: &Context) -> Result<HashMap<String, LoggedRequest>> {
    let endpoints = ctx.target.endpoints();
    let endpoints = endpoints.filter(|endpoint| endpoint.control.is_some());
    let logs = endpoints.map(|endpoint| control::requests(&ctx.http, endpoint));
    let requests = try_join_all(logs).await?.into_iter().flatten();
    Ok(requests
        .filter_map(|request| Some((request.id.clone()?, request)))
        .collect())
}
