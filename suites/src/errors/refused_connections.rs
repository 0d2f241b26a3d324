//! An endpoint that refuses connections: requests for it go to no other pool, and run once at most.

use anyhow::Result;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::Effort;
use poolproof_cases::expect;
use poolproof_cases::need::{EndpointLogs, Find, Need, PoolToLoad};
use poolproof_client::Ending;
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
        EndpointLogs::NEED,
        Need::change(change::Kind::Endpoint),
    ],
    alpha_parts: 0,
    plan: |target, _| {
        let requests = BEFORE * target.models.len() + REQUESTS + VERSIONS_REQUESTS;
        Ok(Effort::requests(requests).in_flight(IN_FLIGHT).waits(2.0))
    },
    run: |ctx| Box::pin(refused_connections(ctx)),
};

/// Requests for each model before, so that a gateway knows endpoints of all pools.
const BEFORE: usize = 24;
/// Requests that are sent as soon as the endpoint is gone, when the endpoint picker may still name it.
const REQUESTS: usize = 48;
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
    let after = requests(model, REQUESTS);
    // The need has two endpoints at least.
    let gone = pool.endpoints.first().map(|endpoint| endpoint.name.clone());
    let gone = gone.unwrap_or_default();
    ctx.change(Change::Endpoint {
        endpoint: gone.clone(),
        running: false,
    })
    .await?;
    let exchanges = clients.send(IN_FLIGHT, Kind::ALL.len(), after).await;
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
        findings.add(expect::that(
            is_error || (exchange.is_success() && pools.len() == 1),
            what,
            "200 after one arrival, or an error that is not the client's",
            format!("{}, {} arrivals", exchange.describe(), pools.len()),
        ));
    }
    Ok(findings.outcome(format!(
        "of {REQUESTS} requests just after an endpoint was gone {served} were served, {} got an error, none arrived twice or in \
         another pool, {}",
        REQUESTS - served,
        clients.in_words()
    )))
}
