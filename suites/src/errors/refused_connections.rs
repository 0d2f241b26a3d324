//! An endpoint that refuses connections: requests for it go to no other pool, and run once at most.

use anyhow::Result;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::Effort;
use poolproof_cases::expect;
use poolproof_cases::need::{EndpointLogs, EndpointNames, Find, Need, PoolToLoad};
use poolproof_client::Ending;
use poolproof_client::evidence::served;
use poolproof_model::change::{self, Change};
use poolproof_model::target::Model;
use poolproof_model::verdict::{Findings, Outcome};

use super::arrivals::arrivals;
use crate::mix::Kind;
use crate::ways::{Clients, VERSIONS_REQUESTS};

pub(super) const CASE: Case = Case {
    id: "errors/refused-connections",
    requirement: "While an endpoint refuses connections, a request arrives at one endpoint of its model or gets an error that is not the \
                  client's, and arrives nowhere else.",
    level: Level::Must,
    source: "GIE, docs/proposals/004-endpoint-picker-protocol; kubernetes-sigs/gateway-api-inference-extension#2936",
    needs: &[
        PoolToLoad::NEED,
        EndpointNames::NEED,
        EndpointLogs::NEED,
        Need::change(change::Kind::Endpoint),
    ],
    alpha_parts: 0,
    plan: |target, _| {
        let requests = BEFORE * target.models.len() + DURING + AFTER + VERSIONS_REQUESTS;
        Ok(Effort::requests(requests).in_flight(IN_FLIGHT).waits(2.0))
    },
    run: |ctx| Box::pin(refused_connections(ctx)),
};

/// Requests for each model before, so that a gateway knows endpoints of all pools.
const BEFORE: usize = 24;
/// Requests that are under way while the endpoint goes: it is no busier than the others then, so the picker still names it.
const DURING: usize = 48;
/// Requests that are sent as soon as it is gone.
const AFTER: usize = 48;
const IN_FLIGHT: usize = 24;

async fn refused_connections(ctx: &Context) -> Result<Outcome> {
    let (model, pool) = PoolToLoad::find(&ctx.target)?;
    let clients = Clients::of(ctx, model).await?;
    let mut rng = ctx.rng("prompts");
    let mut findings = Findings::default();
    let mut requests = |model: &Model, n: usize| -> Vec<_> {
        let ways = (0..n).map(|number| Kind::ALL[number % Kind::ALL.len()]);
        ways.map(|way| way.full_request(ctx, model, 2, &mut rng))
            .collect()
    };
    for model in &ctx.target.models {
        let before = requests(model, BEFORE);
        for exchange in &clients.send(IN_FLIGHT, Kind::ALL.len(), before).await {
            findings.add(expect::success(
                "every request before an endpoint is gone",
                exchange,
            ));
        }
    }
    let (during, after) = (requests(model, DURING), requests(model, AFTER));
    // The need has two endpoints at least.
    let gone = pool.endpoints.first().map(|endpoint| endpoint.name.clone());
    let gone = gone.unwrap_or_default();
    let change = ctx.change(Change::Endpoint {
        endpoint: gone.clone(),
        running: false,
    });
    let during = clients.send(IN_FLIGHT, Kind::ALL.len(), during);
    let (mut exchanges, changed) = tokio::join!(during, change);
    changed?;
    exchanges.extend(clients.send(IN_FLIGHT, Kind::ALL.len(), after).await);
    let arrivals = arrivals(ctx, Some(&gone)).await?;
    let (mut served, what) = (0, "a request while an endpoint refuses connections");
    for exchange in &exchanges {
        let pools = arrivals.get(&exchange.id).map_or(&[][..], Vec::as_slice);
        let is_own = |name: &&str| model.weighted_pools().any(|own| own.name == **name);
        findings.add(expect::that(
            pools.len() <= 1 && pools.iter().all(is_own),
            what,
            "at most one arrival, in a pool of its model",
            format!("{} arrivals, in pool {}", pools.len(), pools.join(", ")),
        ));
        served += usize::from(exchange.is_success());
        let is_error = exchange.status.is_none_or(|status| status >= 500)
            || matches!(exchange.ending, Ending::Cut(_));
        // The log of the endpoint that is gone cannot be read.
        let arrived = match pools {
            [] => served::endpoint_of(exchange) == Some(gone.as_str()),
            pools => pools.len() == 1,
        };
        findings.add(expect::that(
            is_error || (exchange.is_success() && arrived),
            what,
            "200 after one arrival, or an error that is not the client's",
            format!("{}, {} arrivals", exchange.describe(), pools.len()),
        ));
    }
    Ok(findings.outcome(format!(
        "of {} requests while an endpoint went {served} were served, {} got an error, none arrived twice or in another pool, {}",
        exchanges.len(),
        exchanges.len() - served,
        clients.in_words()
    )))
}
