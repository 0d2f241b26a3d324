//! An endpoint's error reaches the client as the endpoint gave it.

use anyhow::Result;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::Effort;
use poolproof_cases::expect;
use poolproof_cases::need::{Find, PoolToLoad};
use poolproof_client::{Connections, Ending, Exchange, Request};
use poolproof_model::target::{Endpoint, Model};
use poolproof_model::verdict::{Findings, Outcome};
use rand::Rng;
use serde_json::Value;

use crate::mix::Kind;
use crate::ways::{Clients, VERSIONS_REQUESTS, directed};

pub(super) const CASE: Case = Case {
    id: "errors/passed-through",
    requirement: "An error that an endpoint answers reaches the client with the endpoint's own status, content-type, retry-after and \
                  body, whether the request asks for a stream or not.",
    level: Level::Must,
    source: "OpenAI API, errors, and RFC 9110, section 10.2.3: clients act on status, error and retry-after; \
             agentgateway/agentgateway#1340",
    needs: &[PoolToLoad::NEED],
    alpha_parts: 0,
    plan: |target, _| {
        let probes = asked(target.models.iter()).len() * REPEATS * Kind::ALL.len();
        Ok(Effort::requests(probes + VERSIONS_REQUESTS).in_flight(IN_FLIGHT))
    },
    run: |ctx| Box::pin(passed_through(ctx)),
};

/// Errors that model servers answer with, and how long the client has to wait before it tries again.
const ERRORS: [(u16, Option<u32>); 6] = [
    (400, None),
    (404, None),
    (422, None),
    (429, Some(7)),
    (500, None),
    (503, Some(3)),
];
/// Requests for each error, model and way. With two models and four ways, each error is asked for 24 times: a fault in one of five is
/// caught with a power of 0.995.
const REPEATS: usize = 3;
const IN_FLIGHT: usize = 8;

/// An error to ask for.
struct Asked<'a> {
    model: &'a Model,
    endpoint: &'a Endpoint,
    /// The directive for it; `None`: the request itself is invalid.
    directive: Option<String>,
}

/// All errors that can be asked for: one of each kind where endpoints take directives, else that to an invalid request.
fn asked<'a>(models: impl Iterator<Item = &'a Model>) -> Vec<Asked<'a>> {
    let mut asked = Vec::new();
    for model in models {
        let mut endpoints = model.weighted_pools().flat_map(|pool| &pool.endpoints);
        let Some(endpoint) = endpoints.find(|endpoint| endpoint.url.is_some()) else {
            continue;
        };
        let mut add = |directive| {
            asked.push(Asked {
                model,
                endpoint,
                directive,
            });
        };
        if endpoint.control.is_none() {
            add(None);
            continue;
        }
        for (status, retry_after_s) in ERRORS {
            let after = retry_after_s.map(|seconds| format!(", retry-after-{seconds}"));
            add(Some(format!(
                "status-{status}{}",
                after.unwrap_or_default()
            )));
        }
    }
    asked
}

impl Asked<'_> {
    fn request(&self, ctx: &Context, way: Kind, rng: &mut impl Rng) -> Request {
        match &self.directive {
            Some(directive) => directed(way.full_request(ctx, self.model, 4, rng), directive),
            None => way.invalid_request(ctx, self.model, rng),
        }
    }

    fn in_words(&self, way: Kind) -> String {
        let error = self.directive.as_deref().unwrap_or("max_tokens -1");
        format!("{error}, {} by {}", self.model.name, way.in_words())
    }
}

async fn passed_through(ctx: &Context) -> Result<Outcome> {
    let (first, _) = PoolToLoad::find(&ctx.target)?;
    let clients = Clients::of(ctx, first).await?;
    let mut rng = ctx.rng("prompts");
    let mut findings = Findings::default();
    let (mut twins, mut requests) = (Vec::new(), Vec::new());
    for asked in asked(ctx.target.models.iter()) {
        // The list has only endpoints with a url.
        let Some(url) = &asked.endpoint.url else {
            continue;
        };
        let straight = ctx.client_of(url, Connections::KeepAlive)?;
        for way in Kind::ALL {
            let own = straight.send(asked.request(ctx, way, &mut rng)).await;
            twins.push((asked.in_words(way), own));
        }
        for _ in 0..REPEATS {
            requests.extend(Kind::ALL.map(|way| asked.request(ctx, way, &mut rng)));
        }
    }
    let exchanges = clients.send(IN_FLIGHT, Kind::ALL.len(), requests).await;
    let mut compared = 0;
    for (number, exchange) in exchanges.iter().enumerate() {
        let (asked, way) = (
            number / (REPEATS * Kind::ALL.len()),
            number % Kind::ALL.len(),
        );
        let (what, own) = &twins[asked * Kind::ALL.len() + way];
        if !is_error(own) {
            continue;
        }
        compared += 1;
        for found in differences(what, exchange, own) {
            findings.add(found);
        }
    }
    if compared == 0 {
        return Ok(Outcome::skip(
            "no endpoint answers an invalid request with an error",
        ));
    }
    Ok(findings.outcome(format!(
        "{compared} errors as the endpoints' own to the same requests, {}",
        clients.in_words()
    )))
}

fn is_error(exchange: &Exchange) -> bool {
    exchange.status.is_some_and(|status| status >= 400) && exchange.ending == Ending::Complete
}

/// Compares what came through the gateway with the endpoint's own answer.
fn differences(what: &str, through: &Exchange, own: &Exchange) -> Vec<expect::Found> {
    let status = own.status.unwrap_or(0);
    let mut found = vec![expect::status(what, through, status)];
    for header in ["content-type", "retry-after"] {
        let (expected, actual) = (own.header(header), through.header(header));
        found.push(expect::that(
            expected == actual,
            &format!("{header} of {what}"),
            expected.unwrap_or("none"),
            actual.unwrap_or("none"),
        ));
    }
    found.push(expect::that(
        content(&own.body) == content(&through.body),
        &format!("body of {what}"),
        String::from_utf8_lossy(&own.body),
        String::from_utf8_lossy(&through.body),
    ));
    found
}

/// What of a body does not differ between two requests: JSON without ids and times, else its bytes.
fn content(body: &[u8]) -> Result<Value, &[u8]> {
    let mut json: Value = serde_json::from_slice(body).map_err(|_| body)?;
    if let Some(fields) = json.as_object_mut() {
        fields.remove("id");
        fields.remove("created");
        fields.remove("request_id");
        return Ok(json);
    }
    Err(body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::made::answer;

    fn differ(through: &Exchange, own: &Exchange) -> bool {
        let found = differences("e", through, own);
        found.into_iter().any(|found| found.is_err())
    }

    #[test]
    fn status_headers_and_body_have_to_be_the_endpoints_own() {
        let own = answer(429, r#"{"error":{"code":429},"created":1}"#);
        let mut later = answer(429, r#"{"error":{"code":429},"created":2}"#);
        assert!(!differ(&later, &own));
        later.headers.insert("retry-after", 7.into());
        assert!(differ(&later, &own));
        assert!(differ(&answer(503, r#"{"error":{"code":429}}"#), &own));
        assert!(differ(&answer(429, ""), &own));
        let mut cut = own.clone();
        cut.ending = Ending::Cut(String::new());
        assert!(differ(&cut, &own));
    }
}
