//! Methods beside POST, and a POST without a body, are answered and leave nothing broken.

use anyhow::Result;
use futures_util::future::try_join_all;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::Effort;
use poolproof_cases::expect::{self, Found};
use poolproof_cases::need::{Find, Straight};
use poolproof_client::{Api, Connections, Ending, Exchange, Method, Request};
use poolproof_model::verdict::{Findings, Outcome};

use super::straight::Endpoints;

pub(super) const CASE: Case = Case {
    id: "protocol/methods",
    requirement: "GET, HEAD, OPTIONS and a POST without a body get what an endpoint itself gives, a 4xx, or for a safe method an answer of the \
                  gateway itself; afterwards every model is still served, also on the same connection.",
    level: Level::Must,
    source: "RFC 9110, sections 9.3 and 15.5.6; opendatahub-io/models-as-a-service#1095, \
             kubernetes-sigs/gateway-api-inference-extension#555",
    needs: &[Straight::NEED],
    alpha_parts: 0,
    plan: |target, _| {
        let each = ROUNDS * METHODS.len();
        Ok(Effort::requests(each * (1 + target.models.len())).in_flight(METHODS.len()))
    },
    run: |ctx| Box::pin(methods(ctx)),
};

const METHODS: [Method; 4] = [Method::GET, Method::HEAD, Method::OPTIONS, Method::POST];
const PATHS: [&str; 4] = [
    "/v1/models",
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/models?limit=1",
];
/// Requests of each method: what one of five breaks is caught 99 times in 100.
const ROUNDS: usize = 21;

/// A request, its answer, and the answers to the requests after it.
struct Round {
    what: String,
    place: usize,
    exchange: Exchange,
    next: Vec<(String, Exchange)>,
}

async fn methods(ctx: &Context) -> Result<Outcome> {
    let endpoints = Endpoints::of(ctx)?;
    let mut findings = Findings::default();
    // Each method has a connection of its own.
    let rounds = METHODS.iter().map(|method| rounds(ctx, method));
    let rounds = try_join_all(rounds).await?;
    let model = &ctx.target.models[0].name;
    for (method, rounds) in METHODS.iter().zip(rounds) {
        let requests = PATHS.map(|path| (model.as_str(), request(ctx, method, path)));
        let own = endpoints.answers(1, requests.into_iter()).await?;
        let mut served = 0;
        for round in rounds {
            findings.add(allowed(
                method,
                &round.what,
                &round.exchange,
                &own[round.place],
            ));
            for (what, next) in round.next {
                served += usize::from(next.is_success());
                findings.add(expect::success(&what, &next));
            }
        }
        let of = ROUNDS * ctx.target.models.len();
        findings.note(format!(
            "{method}: {served} of {of} requests after it were served"
        ));
    }
    Ok(findings.outcome(format!(
        "{ROUNDS} requests of each method are answered, and each model was served after each of them"
    )))
}

fn request(ctx: &Context, method: &Method, path: &str) -> Request {
    let request = Request::to(method.clone(), path).timeout(ctx.timeouts.refusal);
    match *method {
        // As a browser asks before a request to another origin.
        Method::OPTIONS => request
            .header("origin", "http://example.com")
            .header("access-control-request-method", "POST"),
        _ => request,
    }
}

async fn rounds(ctx: &Context, method: &Method) -> Result<Vec<Round>> {
    let client = ctx.client(Connections::KeepAlive)?;
    let mut rng = ctx.rng(method.as_str());
    let mut rounds = Vec::new();
    for number in 0..ROUNDS {
        let place = number % PATHS.len();
        let what = format!("{method} {} without a body", PATHS[place]);
        let exchange = client.send(request(ctx, method, PATHS[place])).await;
        let mut next = Vec::new();
        for (place, model) in ctx.target.models.iter().enumerate() {
            let api = if (number + place) % 2 == 0 {
                Api::Chat
            } else {
                Api::Completions
            };
            let request = Request::new(api, &model.name, 1, &mut rng);
            let what = format!("{} by {api:?} after {what}", model.name);
            next.push((
                what,
                client.send(request.timeout(ctx.timeouts.request)).await,
            ));
        }
        rounds.push(Round {
            what,
            place,
            exchange,
            next,
        });
    }
    Ok(rounds)
}

/// Expects the endpoint's own status, a 4xx, or an answer of the gateway itself to a safe method.
fn allowed(method: &Method, what: &str, through: &Exchange, own: &Exchange) -> Found {
    let status = through.status.unwrap_or(0);
    let is_safe = *method != Method::POST;
    let ok = through.ending == Ending::Complete
        && (through.status == own.status
            || (400..500).contains(&status)
            || (is_safe && (200..300).contains(&status)));
    let expected = format!("the endpoint's own answer ({}), or a 4xx", own.describe());
    expect::that(ok, what, expected, through.describe())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::made;

    #[test]
    fn only_a_safe_method_is_answered_by_the_gateway_itself() {
        let answer = |status| made::exchange("a", Some(status), Ending::Complete);
        let own = answer(405);
        for (method, status, is_allowed) in [
            (Method::GET, 200, true),
            (Method::GET, 404, true),
            (Method::GET, 500, false),
            (Method::GET, 302, false),
            (Method::POST, 405, true),
            (Method::POST, 200, false),
        ] {
            let found = allowed(&method, "a", &answer(status), &own);
            assert_eq!(found.is_ok(), is_allowed, "{method} {status}");
        }
        let cut = made::exchange("a", Some(405), Ending::TimedOut);
        assert!(allowed(&Method::GET, "a", &cut, &own).is_err());
    }
}
