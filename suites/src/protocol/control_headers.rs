//! Headers by which pickers, gateways and sidecars control each other are not a client's to set.

use anyhow::{Context as _, Result};
use futures_util::{StreamExt, stream};
use poolproof_cases::budget::Rates;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::{Decision, Effort};
use poolproof_cases::expect;
use poolproof_cases::need::{EndpointNames, Find, PoolToLoad, TwoModels};
use poolproof_client::evidence::served;
use poolproof_client::{Api, Client, Connections, Exchange, Request, nonce, payload};
use poolproof_model::target::{Endpoint, Model, Pool, Target};
use poolproof_model::verdict::{Findings, Outcome};
use poolproof_stats::binomial::{Plan, Question};
use serde_json::Value;

use super::arrivals::Arrivals;
use super::meaning::Meaning;

pub(super) const CASE: Case = Case {
    id: "protocol/control-headers",
    requirement: "A client-sent header that names a model to rewrite to, or endpoints to choose from, to prefill at or to fetch from, once or \
                  repeated, never changes the model that an endpoint is asked for, nor the endpoint.",
    level: Level::Must,
    source: "GIE v1.5.0, docs/proposals/004-endpoint-picker-protocol: the picker chooses; llm-d-router, pkg/common/routing: it drops these \
             headers of a client; kubernetes-sigs/gateway-api-inference-extension#1244",
    needs: &[TwoModels::NEED, EndpointNames::NEED, PoolToLoad::NEED],
    alpha_parts: 1,
    plan: |target, rates| {
        let (_, pool) = PoolToLoad::find(target)?;
        let plan = plan(pool, rates)?;
        let requests =
            rewrites(target).len() + elsewhere(target).len() + APIS.len() * plan.n as usize;
        Ok(Effort::requests(requests)
            .in_flight(IN_FLIGHT)
            .decides(APIS.map(|_| Decision::Fixed(plan.clone()))))
    },
    run: |ctx| Box::pin(control_headers(ctx)),
};

/// Headers that name a model.
pub(super) const REWRITES: [&str; 2] =
    ["x-gateway-model-name-rewrite", "x-llm-d-model-name-rewrite"];
/// Headers that name endpoints.
pub(super) const ENDPOINTS: [&str; 6] = [
    "x-gateway-destination-endpoint-subset",
    "x-llm-d-pin-host-port",
    "x-prefiller-host-port",
    "x-encoder-hosts-ports",
    "x-data-parallel-host-port",
    "x-kv-cache-source-host-port",
];
const APIS: [Api; 2] = [Api::Completions, Api::Chat];
/// Requests of each API with each header, at least: what one of five changes is caught 99 times in 100.
const EACH: usize = 21;
const IN_FLIGHT: usize = 4;
/// An address of no server: port 9 is "discard" (RFC 863).
const NOWHERE: &str = "127.0.0.1:9";

/// A request with a control header.
struct Ask<'a> {
    model: &'a Model,
    api: Api,
    stream: bool,
    headers: Vec<(&'static str, String)>,
}

/// That the client's choice is taken no more often than chance allows.
fn plan(pool: &Pool, rates: &Rates) -> Result<Plan> {
    let fair = 1.0 / pool.endpoints.len() as f64;
    let question = Question::AtMost {
        null: fair + (1.0 - fair) / 4.0,
        bad: 0.95,
    };
    Plan::new(question, rates.alpha / APIS.len() as f64, rates.power)
}

/// Requests that name another model, or one that nobody has.
fn rewrites(target: &Target) -> Vec<Ask<'_>> {
    let mut asks = Vec::new();
    let models = &target.models;
    for name in REWRITES {
        for api in APIS {
            for number in 0..EACH {
                let model = &models[number % models.len()];
                let other = &models[(number + 1) % models.len()];
                let wanted = match (number / 2 % 3, model.adapters.first()) {
                    (0, Some(adapter)) => adapter.as_str(),
                    (1, _) => "no-such-model",
                    _ => other.name.as_str(),
                };
                asks.push(Ask {
                    model,
                    api,
                    stream: number % 4 < 2,
                    headers: vec![(name, wanted.to_owned()); 1 + number % 2],
                });
            }
        }
    }
    asks
}

/// Requests that name an endpoint of another pool, or an address without a server.
fn elsewhere(target: &Target) -> Vec<Ask<'_>> {
    let mut asks = Vec::new();
    let models = &target.models;
    for name in ENDPOINTS {
        for api in APIS {
            for number in 0..EACH {
                let model = &models[number % models.len()];
                let other = &models[(number + 1) % models.len()];
                let mut endpoints = other.pools.iter().flat_map(|pool| &pool.endpoints);
                let foreign = endpoints.find_map(address);
                let foreign = foreign.filter(|_| number / 2 % 2 == 0);
                let wanted = foreign.unwrap_or_else(|| NOWHERE.to_owned());
                asks.push(Ask {
                    model,
                    api,
                    stream: number % 4 < 2,
                    headers: vec![(name, wanted); 1 + number % 2],
                });
            }
        }
    }
    asks
}

/// The address of an endpoint, as a picker names it.
pub(super) fn address(endpoint: &Endpoint) -> Option<String> {
    let url = endpoint.url.as_ref()?;
    let (host, port) = (url.host_str()?, url.port_or_known_default()?);
    Some(format!("{host}:{port}"))
}

async fn control_headers(ctx: &Context) -> Result<Outcome> {
    let client = ctx.client(Connections::KeepAlive)?;
    let mut findings = Findings::default();
    let mut asks = rewrites(&ctx.target);
    asks.extend(elsewhere(&ctx.target));
    let through = send(ctx, &client, IN_FLIGHT, &asks).await;
    let arrivals = Arrivals::read(ctx, std::slice::from_ref(&client)).await?;
    for (ask, exchange) in asks.iter().zip(&through) {
        let (name, value) = &ask.headers[0];
        let times = ask.headers.len();
        let model = ask.model.name.as_str();
        let what = format!("{model} by {:?} with {times} {name}: {value}", ask.api);
        findings.add(expect::success(&what, exchange));
        findings.add(expect::served_by(&what, exchange, &ctx.target, ask.model));
        if let Some(answered) = model_of(exchange) {
            let what = format!("{what}: the model of the answer");
            findings.add(expect::that(answered == model, &what, model, answered));
        }
        for (endpoint, received) in arrivals.iter().flat_map(|all| all.of(&exchange.id)) {
            let body = received.body.as_deref().map(Meaning::of);
            let asked = body.and_then(Result::ok);
            let asked = asked.as_ref().and_then(|body| body.text_of("model"));
            let what = format!("{what}: the model asked for at {endpoint}");
            findings.add(expect::that(asked == Some(model), &what, model, asked));
        }
    }
    let hits = own_choice(ctx, &client, &mut findings).await?;
    let seen = match arrivals {
        Some(_) => "the model that endpoints were asked for was the body's",
        None => "the model that endpoints were asked for was not seen, only that of the answer",
    };
    Ok(findings.outcome(format!(
        "{} requests were served by their model's pools whatever they named; {seen}; {hits}",
        asks.len()
    )))
}

/// Names the last endpoint of the own pool in all headers at once: an idle pool uses it about as often as the others.
async fn own_choice(ctx: &Context, client: &Client, findings: &mut Findings) -> Result<String> {
    let (model, pool) = PoolToLoad::find(&ctx.target)?;
    let endpoint = pool.endpoints.last().context("an endpoint")?;
    let wanted = address(endpoint).context("its address")?;
    let plan = plan(pool, &ctx.rates)?;
    let mut counts = Vec::new();
    for api in APIS {
        let asks: Vec<Ask> = (0..plan.n)
            .map(|number| Ask {
                model,
                api,
                stream: number % 2 == 0,
                headers: ENDPOINTS.map(|name| (name, wanted.clone())).to_vec(),
            })
            .collect();
        // One at a time, so that the pool is idle for each.
        let exchanges = send(ctx, client, 1, &asks).await;
        for exchange in &exchanges {
            findings.add(expect::success(
                "a request that names an endpoint",
                exchange,
            ));
        }
        let is_hit =
            |exchange: &&Exchange| served::endpoint_of(exchange) == Some(endpoint.name.as_str());
        let hits = exchanges.iter().filter(is_hit).count() as u64;
        let of = format!(
            "share of {} by {api:?}, which the client named",
            endpoint.name
        );
        findings.add_statistic(plan.decide(of, hits, plan.n));
        counts.push(format!("{hits} of {} by {api:?}", plan.n));
    }
    Ok(format!(
        "{}, which the client named, served {}",
        endpoint.name,
        counts.join(" and ")
    ))
}

async fn send(ctx: &Context, client: &Client, in_flight: usize, asks: &[Ask<'_>]) -> Vec<Exchange> {
    let mut rng = ctx.rng("prompts");
    let requests: Vec<Request> = asks
        .iter()
        .map(|ask| {
            let model = ask.model.name.as_str().into();
            let mut body = payload(ask.api, model, &nonce(&mut rng), 1);
            body["stream"] = ask.stream.into();
            let request = Request::from_json(ask.api, &body).timeout(ctx.timeouts.request);
            let headers = ask.headers.iter();
            headers.fold(request, |request, (name, value)| {
                request.header(name, value)
            })
        })
        .collect();
    let sent = requests.into_iter().map(|request| client.send(request));
    stream::iter(sent).buffered(in_flight).collect().await
}

/// The model that an answer names, of a stream by its first frame.
fn model_of(exchange: &Exchange) -> Option<String> {
    let first = exchange.frames.first().map(|frame| frame.data.as_bytes());
    let json: Value = serde_json::from_slice(first.unwrap_or(&exchange.body)).ok()?;
    Some(json["model"].as_str()?.to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use poolproof_model::topology::Topology;

    use super::*;

    #[test]
    fn no_request_names_its_own_model_or_an_endpoint_of_it() {
        let target = Target::planned(&Topology::default()).unwrap();
        for ask in rewrites(&target) {
            assert_ne!(ask.headers[0].1, ask.model.name);
        }
        let (once, twice): (Vec<_>, Vec<_>) = elsewhere(&target)
            .into_iter()
            .partition(|ask| ask.headers.len() == 1);
        assert!(!once.is_empty() && !twice.is_empty());
    }
}
