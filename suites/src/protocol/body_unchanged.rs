//! The body that arrives means what the body that was sent means.

use anyhow::Result;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::Effort;
use poolproof_cases::expect;
use poolproof_cases::need::{Find, Straight};
use poolproof_client::{Api, Connections, Ending, Exchange, Request, drive, nonce};
use poolproof_model::target::Target;
use poolproof_model::verdict::{Findings, Outcome};

use super::arrivals::Arrivals;
use super::corpus::{KINDS, Kind};
use super::meaning::Meaning;
use super::straight::Endpoints;
use crate::streams::prompt_tokens;

pub(super) const CASE: Case = Case {
    id: "protocol/body-unchanged",
    requirement: "The endpoint receives the JSON that the client sent, with every number as it was spelled and every member, \
                  and the client receives the endpoint's own status.",
    level: Level::Must,
    source: "OpenAI API, create completion and create chat completion; llm-d/llm-d-router#2518, \
             kubernetes-sigs/gateway-api-inference-extension#2721",
    needs: &[Straight::NEED],
    alpha_parts: 0,
    plan: |target, _| {
        let requests = asks(target).len();
        Ok(Effort::requests(requests).in_flight(IN_FLIGHT))
    },
    run: |ctx| Box::pin(body_unchanged(ctx)),
};

/// Requests of each kind, at least: a change of one in five is caught 99 times in 100.
const EACH: usize = 21;
const IN_FLIGHT: usize = 8;

/// One request of the case.
#[derive(Clone, Copy)]
struct Ask {
    kind: &'static Kind,
    api: Api,
    stream: bool,
    /// The place of its model in the target.
    model: usize,
    /// Whether an equal request with the same model went before.
    is_repeated: bool,
}

impl Ask {
    fn in_words(self, target: &Target) -> String {
        let how = if self.stream { "streamed" } else { "whole" };
        let model = &target.models[self.model].name;
        format!("{} by {:?}, {how}, {model}", self.kind.name, self.api)
    }
}

/// All requests: each kind with both APIs if they have it, streamed and not, for all models in turn.
fn asks(target: &Target) -> Vec<Ask> {
    let models = target.models.len().max(1);
    let mut asks = Vec::new();
    for kind in KINDS {
        let rounds = EACH.div_ceil(kind.apis.len() * 2).max(models);
        for round in 0..rounds {
            for api in kind.apis {
                for stream in [false, true] {
                    asks.push(Ask {
                        kind,
                        api: *api,
                        stream,
                        model: round % models,
                        is_repeated: round >= models,
                    });
                }
            }
        }
    }
    asks
}

async fn body_unchanged(ctx: &Context) -> Result<Outcome> {
    let endpoints = Endpoints::of(ctx)?;
    let client = ctx.client(Connections::KeepAlive)?;
    let mut rng = ctx.rng("prompts");
    let asks = asks(&ctx.target);
    let name = |ask: &Ask| ctx.target.models[ask.model].name.as_str();
    let bodies = asks.iter().map(|ask| {
        let nonce = nonce(&mut rng);
        ask.kind.body(ask.api, name(ask), &nonce, ask.stream)
    });
    let bodies: Vec<String> = bodies.collect();
    let request = |place: usize| {
        let request = Request::from_bytes(asks[place].api, bodies[place].clone());
        request.timeout(ctx.timeouts.request)
    };
    let through = drive::closed_loop(&client, IN_FLIGHT, (0..asks.len()).map(request)).await;
    let arrivals = Arrivals::read(ctx, std::slice::from_ref(&client)).await?;
    // Where endpoints do not show what arrived, every answer is held against an endpoint's own to the same body.
    let is_asked = |place: &usize| arrivals.is_none() || !asks[*place].is_repeated;
    let asked: Vec<usize> = (0..asks.len()).filter(is_asked).collect();
    let requests = asked
        .iter()
        .map(|place| (name(&asks[*place]), request(*place)));
    let own = endpoints.answers(IN_FLIGHT, requests).await?;

    let mut findings = Findings::default();
    let (mut compared, mut by_status) = (0, 0);
    for (place, ask) in asks.iter().enumerate() {
        let exchange = &through[place];
        let what = ask.in_words(&ctx.target);
        let is_like = |twin: usize| {
            let twin = &asks[twin];
            (twin.kind.name, twin.api, twin.stream, twin.model)
                == (ask.kind.name, ask.api, ask.stream, ask.model)
        };
        let exact = asked.iter().position(|twin| *twin == place);
        let twin = exact.or_else(|| asked.iter().position(|twin| is_like(*twin)));
        let Some(own) = twin.map(|twin| &own[twin]) else {
            continue;
        };
        if !own.is_success() {
            by_status += 1;
            let ok = exchange.status == own.status && exchange.ending == Ending::Complete;
            let expected = format!("the endpoint's own answer: {}", own.describe());
            findings.add(expect::that(ok, &what, expected, exchange.describe()));
            continue;
        }
        findings.add(expect::success(&what, exchange));
        let Some(arrivals) = &arrivals else {
            let (own, through) = (prompt_tokens(own), prompt_tokens(exchange));
            let ok = own.is_none() || own == through;
            compared += usize::from(own.is_some());
            let in_words = |tokens: Option<u64>| match tokens {
                Some(tokens) => format!("{tokens} prompt tokens"),
                None => "no count of prompt tokens".to_owned(),
            };
            findings.add(expect::that(ok, &what, in_words(own), in_words(through)));
            continue;
        };
        let sent = Meaning::of(&bodies[place]).map_err(anyhow::Error::msg)?;
        for (endpoint, received) in arrivals.of(&exchange.id) {
            compared += 1;
            let difference = match received.body.as_deref().map(Meaning::of) {
                Some(Ok(arrived)) => sent.difference(&arrived),
                Some(Err(error)) => Some(error),
                None => Some(format!("{} bytes that are no text", received.body_bytes)),
            };
            findings.add(expect::that(
                difference.is_none(),
                &format!("{what}: the body at {endpoint}"),
                "what was sent",
                difference.unwrap_or_default(),
            ));
        }
        add_lost(&mut findings, &what, exchange, arrivals);
    }
    let by = match arrivals {
        Some(_) => "bodies as they arrived mean what was sent",
        None => "answers have the prompt tokens of the endpoint's own answer; bodies were not seen",
    };
    Ok(findings.outcome(format!(
        "{} kinds of bodies: {compared} {by}; {by_status} that the endpoint itself refuses have its status",
        KINDS.len()
    )))
}

/// Adds a request that was answered though no endpoint received it.
fn add_lost(findings: &mut Findings, what: &str, exchange: &Exchange, arrivals: &Arrivals) {
    if exchange.is_success() {
        let arrived = arrivals.of(&exchange.id).len();
        let what = format!("{what}: arrivals at endpoints");
        findings.add(expect::that(arrived > 0, &what, "1", arrived));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use poolproof_model::topology::Topology;

    use super::*;

    #[test]
    fn each_kind_is_asked_often_enough_by_each_of_its_apis_and_for_each_model() {
        let target = Target::planned(&Topology::default()).unwrap();
        let asks = asks(&target);
        for kind in KINDS {
            let of_kind = || asks.iter().filter(|ask| ask.kind.name == kind.name);
            assert!(of_kind().count() >= EACH, "{}", kind.name);
            for model in 0..target.models.len() {
                let firsts = of_kind().filter(|ask| ask.model == model && !ask.is_repeated);
                assert_eq!(firsts.count(), kind.apis.len() * 2, "{}", kind.name);
            }
        }
    }
}
