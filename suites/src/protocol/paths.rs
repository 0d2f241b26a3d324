//! A path with a query is the same path.

use anyhow::Result;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::Effort;
use poolproof_cases::expect;
use poolproof_cases::need::{EndpointNames, Find, Straight};
use poolproof_client::{Api, Connections, Ending, Request, drive, nonce, payload};
use poolproof_model::target::{Model, Target};
use poolproof_model::verdict::{Findings, Outcome};

use super::arrivals::Arrivals;
use super::straight::Endpoints;

pub(super) const CASE: Case = Case {
    id: "protocol/paths",
    requirement: "A completion or chat request is served by its model's pool with and without a query in its path, and the endpoint \
                  receives the path and the query that the client sent.",
    level: Level::Must,
    source: "RFC 3986, section 3.4, and OpenAI API, create completion and create chat completion; Azure OpenAI sends api-version; \
             llm-d/llm-d-router#1516",
    needs: &[EndpointNames::NEED, Straight::NEED],
    alpha_parts: 0,
    plan: |target, _| Ok(Effort::requests(asks(target).len()).in_flight(IN_FLIGHT)),
    run: |ctx| Box::pin(paths(ctx)),
};

/// Requests of each API with each query, at least: a fault in one of five is caught 99 times in 100.
const EACH: usize = 21;
const IN_FLIGHT: usize = 8;
const QUERIES: [&str; 3] = [
    "",
    "?api-version=2024-10-21",
    "?a=%2Fv1%2Fmodels+x&b=&model=none",
];

/// One request of the case.
struct Ask<'a> {
    api: Api,
    query: &'static str,
    stream: bool,
    model: &'a Model,
}

fn asks(target: &Target) -> Vec<Ask<'_>> {
    let rounds = EACH.div_ceil(2 * target.models.len().max(1));
    let mut asks = Vec::new();
    for _ in 0..rounds {
        for model in &target.models {
            for api in [Api::Completions, Api::Chat] {
                for query in QUERIES {
                    asks.extend([false, true].map(|stream| Ask {
                        api,
                        query,
                        stream,
                        model,
                    }));
                }
            }
        }
    }
    asks
}

async fn paths(ctx: &Context) -> Result<Outcome> {
    let endpoints = Endpoints::of(ctx)?;
    let client = ctx.client(Connections::KeepAlive)?;
    let mut rng = ctx.rng("prompts");
    let asks = asks(&ctx.target);
    let path = |ask: &Ask| format!("{}{}", ask.api.path(), ask.query);
    let requests = asks.iter().map(|ask| {
        let mut body = payload(ask.api, ask.model.name.as_str().into(), &nonce(&mut rng), 1);
        body["stream"] = ask.stream.into();
        let request = Request::from_json(ask.api, &body).at(&path(ask));
        request.timeout(ctx.timeouts.request)
    });
    let requests: Vec<Request> = requests.collect();
    let through = drive::closed_loop(&client, IN_FLIGHT, requests.iter().cloned()).await;
    let arrivals = Arrivals::read(ctx, std::slice::from_ref(&client)).await?;
    // One round past the gateway.
    let first_round = ctx.target.models.len() * 2 * QUERIES.len() * 2;
    let firsts = asks.iter().zip(&requests).take(first_round);
    let firsts = firsts.map(|(ask, request)| (ask.model.name.as_str(), request.clone()));
    let own = endpoints.answers(IN_FLIGHT, firsts).await?;

    let mut findings = Findings::default();
    let (mut refused, mut seen) = (0, 0);
    for (place, (ask, exchange)) in asks.iter().zip(&through).enumerate() {
        let path = path(ask);
        let how = if ask.stream { "streamed" } else { "whole" };
        let what = format!("{path}, {how}, {}", ask.model.name);
        let own = &own[place % first_round];
        if own.is_success() {
            findings.add(expect::success(&what, exchange));
            let served = expect::served_by(&what, exchange, &ctx.target, ask.model);
            findings.add(served);
        } else {
            refused += 1;
            let ok = exchange.status == own.status && exchange.ending == Ending::Complete;
            let expected = format!("the endpoint's own answer: {}", own.describe());
            findings.add(expect::that(ok, &what, expected, exchange.describe()));
        }
        for (endpoint, received) in arrivals.iter().flat_map(|all| all.of(&exchange.id)) {
            seen += 1;
            let what = format!("{what}: the path at {endpoint}");
            let ok = received.path == path;
            findings.add(expect::that(
                ok,
                &what,
                path.as_str(),
                received.path.as_str(),
            ));
        }
    }
    let arrived = match arrivals {
        Some(_) => format!("{seen} arrived with the path and the query that were sent"),
        None => "paths as they arrived were not seen".to_owned(),
    };
    Ok(findings.outcome(format!(
        "{} requests with and without a query: {} served, {refused} with the status of the endpoint that refuses them; {arrived}",
        asks.len(),
        asks.len() - refused,
    )))
}
