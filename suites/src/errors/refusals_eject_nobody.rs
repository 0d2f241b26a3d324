//! A run of refused requests takes no endpoint out of service.

use anyhow::Result;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::Effort;
use poolproof_cases::expect;
use poolproof_cases::need::{EndpointLogs, EndpointNames, Find, PoolToLoad};
use poolproof_client::evidence::served;
use poolproof_model::target::{Model, Target};
use poolproof_model::verdict::{Findings, Outcome};

use crate::mix::Kind;
use crate::ways::{Clients, VERSIONS_REQUESTS, directed};

pub(super) const CASE: Case = Case {
    id: "errors/refusals-eject-nobody",
    requirement: "After a run of requests that endpoints refuse with 4xx, good requests are served, by every endpoint of an idle pool.",
    level: Level::Must,
    source: "RFC 9110, section 15.5: a 4xx is about the request, not about the server; sgl-project/sglang#25811",
    needs: &[PoolToLoad::NEED, EndpointNames::NEED],
    alpha_parts: 0,
    plan: |target, _| {
        let refused = target.models.iter().map(refused).sum::<usize>() * kinds(target).len();
        let requests = refused + good(target) + VERSIONS_REQUESTS;
        Ok(Effort::requests(requests).in_flight(IN_FLIGHT))
    },
    run: |ctx| Box::pin(refusals_eject_nobody(ctx)),
};

/// Directives for statuses that are about a request. One after the other, since a breaker may count one of them only.
const STATUSES: [Option<&str>; 3] = [Some("status-400"), Some("status-404"), Some("status-422")];
/// Refused requests in a row for each endpoint of a model.
const IN_A_ROW: usize = 30;
/// Good requests, over all models: a loss of 2 % is caught with a power of 0.99. An endpoint that gets half of an equal share in a pool of
/// three is missed with a chance below 1e-9.
const GOOD: usize = 228;
const IN_FLIGHT: usize = 8;

fn refused(model: &Model) -> usize {
    let endpoints = model.weighted_pools().flat_map(|pool| &pool.endpoints);
    endpoints.count() * IN_A_ROW
}

/// How endpoints come to refuse requests: by directives, or, where they take none, because requests are invalid.
fn kinds(target: &Target) -> &'static [Option<&'static str>] {
    match EndpointLogs::look(target) {
        Some(_) => &STATUSES,
        None => &[None],
    }
}

fn good(target: &Target) -> usize {
    GOOD.div_ceil(target.models.len()) * target.models.len()
}

async fn refusals_eject_nobody(ctx: &Context) -> Result<Outcome> {
    let (model, pool) = PoolToLoad::find(&ctx.target)?;
    let clients = Clients::of(ctx, model).await?;
    let mut rng = ctx.rng("prompts");
    let mut findings = Findings::default();
    let (mut not_refused, mut sent) = (0, 0);
    for kind in kinds(&ctx.target) {
        for model in &ctx.target.models {
            let requests = (0..refused(model)).map(|number| {
                let way = Kind::ALL[number % Kind::ALL.len()];
                match kind {
                    Some(status) => directed(way.full_request(ctx, model, 1, &mut rng), status),
                    None => way.invalid_request(ctx, model, &mut rng),
                }
            });
            let requests: Vec<_> = requests.collect();
            let exchanges = clients.send(IN_FLIGHT, Kind::ALL.len(), requests).await;
            sent += exchanges.len();
            let refused = |exchange: &&_| expect::statuses("", exchange, 400..=499).is_ok();
            not_refused += exchanges.len() - exchanges.iter().filter(refused).count();
        }
    }
    if kinds(&ctx.target) == [None] && not_refused == sent {
        return Ok(Outcome::skip(
            "endpoints refuse no request with a negative max_tokens",
        ));
    }
    let models = &ctx.target.models;
    let requests = (0..good(&ctx.target)).map(|number| {
        let model = &models[number / Kind::ALL.len() % models.len()];
        Kind::ALL[number % Kind::ALL.len()].full_request(ctx, model, 1, &mut rng)
    });
    let requests: Vec<_> = requests.collect();
    let exchanges = clients.send(IN_FLIGHT, Kind::ALL.len() * 2, requests).await;
    for exchange in &exchanges {
        let what = format!("every good request after {sent} that endpoints refused");
        findings.add(expect::success(&what, exchange));
    }
    findings.add(expect::that(
        not_refused == 0,
        "requests that endpoints refuse",
        "a 4xx each",
        format!("{not_refused} of {sent} got something else"),
    ));
    let served = served::by_endpoint(exchanges.iter());
    let missing = pool.endpoints.iter().map(|endpoint| &endpoint.name);
    let missing: Vec<&str> = missing
        .filter(|name| !served.contains_key(*name))
        .map(String::as_str)
        .collect();
    findings.add(expect::that(
        missing.is_empty(),
        &format!("endpoints of pool {}, idle", pool.name),
        "each serves some of the good requests",
        format!("none by {}", missing.join(", ")),
    ));
    Ok(findings.outcome(format!(
        "{sent} requests refused, then {} served, {}",
        served::in_words(&served),
        clients.in_words()
    )))
}
