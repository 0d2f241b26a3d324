//! A slow answer arrives, whole and once.

use std::time::Duration;

use anyhow::{Context as _, Result};
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::Effort;
use poolproof_cases::expect;
use poolproof_cases::need::{EndpointLogs, Find, Need};
use poolproof_model::verdict::{Findings, Outcome};

use super::arrivals::arrivals;
use crate::mix::Kind;
use crate::streams::Whole;
use crate::ways::{Clients, VERSIONS_REQUESTS, directed};

pub(super) const CASE: Case = Case {
    id: "errors/slow-answers",
    requirement: "An answer whose first byte takes 20 seconds, or that is silent for 20 seconds in its middle, arrives whole, and its request \
                  arrives at one endpoint once.",
    level: Level::Must,
    source: "RFC 9110, section 15.6.5: 504 is for an upstream that does not answer in time, and model servers may take minutes; \
             vllm-project/aibrix#1810, envoyproxy/gateway#4091, kubernetes-sigs/gateway-api-inference-extension#2729",
    needs: &[Need::time(), EndpointLogs::NEED],
    alpha_parts: 0,
    plan: |_, rates| {
        let requests = Kind::ALL.len() + SILENCES.len() * REPEATS + VERSIONS_REQUESTS;
        let waits_s = rates.slow_answer.as_secs_f64();
        Ok(Effort::requests(requests)
            .in_flight(requests)
            .waits(waits_s))
    },
    run: |ctx| Box::pin(slow_answers(ctx)),
};

/// The directive for a silence of some milliseconds.
type Directive = fn(u128) -> String;

/// Where an answer is silent, and the directive for that.
const SILENCES: [(&str, Directive); 3] = [
    ("before its head", |ms| format!("slow-headers-{ms}")),
    ("after its head", |ms| format!("silence-{ms}-after-0")),
    ("in its middle", |ms| format!("silence-{ms}-after-{MIDDLE}")),
];
/// Requests with a silence: a fault in one of five is caught with a power of 0.995. They wait together.
const REPEATS: usize = 24;
const TOKENS: u32 = 24;
/// The tokens of a stream, or the bytes of a complete answer, before the silence.
const MIDDLE: u32 = TOKENS / 2;
/// The share of the silence that the answer of an endpoint must have taken for its directive to have reached it.
const SLOW_SHARE: f64 = 0.9;

async fn slow_answers(ctx: &Context) -> Result<Outcome> {
    let models = &ctx.target.models;
    let model = models.first().context("a model")?;
    let clients = Clients::of(ctx, model).await?;
    let mut rng = ctx.rng("prompts");
    let quick = Kind::ALL.map(|kind| kind.full_request(ctx, model, TOKENS, &mut rng));
    let quick = clients.send(1, Kind::ALL.len(), quick).await;
    let whole = Whole::like(quick.iter(), TOKENS);
    let mut findings = Findings::default();
    for exchange in &quick {
        findings.add(whole.expect("a request that is answered at once", exchange));
    }

    let silence = ctx.rates.slow_answer;
    let (mut requests, mut asked) = (Vec::new(), Vec::new());
    for (place, directive) in SILENCES {
        for number in 0..REPEATS {
            let kind = Kind::ALL[number % Kind::ALL.len()];
            let model = &models[number / Kind::ALL.len() % models.len()];
            let request = kind.full_request(ctx, model, TOKENS, &mut rng);
            let request = request.timeout(silence + ctx.timeouts.request);
            requests.push(directed(request, &directive(silence.as_millis())));
            asked.push(format!(
                "an answer that is silent for {} s {place} ({})",
                silence.as_secs(),
                kind.in_words()
            ));
        }
    }
    let in_flight = requests.len();
    // Both versions with each model and each place of the silence.
    let exchanges = clients.send(in_flight, Kind::ALL.len() * 2, requests).await;
    let longest = exchanges.iter().map(|exchange| exchange.latency()).max();
    if !findings.failed() && longest.is_none_or(|longest| longest < slow(silence)) {
        return Ok(Outcome::invalid(
            "no answer was slow: the header that asks the endpoint for a silence does not arrive there",
        ));
    }
    let arrivals = arrivals(ctx, None).await?;
    for (what, exchange) in asked.iter().zip(&exchanges) {
        findings.add(whole.expect(what, exchange));
        let arrived = arrivals.get(&exchange.id).map_or(0, Vec::len);
        let times = format!("arrivals of its request, for {what}");
        findings.add(expect::that(arrived == 1, &times, 1, arrived));
    }
    Ok(findings.outcome(format!(
        "{} answers of {} s or more, {} at once, each whole and with one arrival by the endpoints' logs, {}",
        exchanges.len(),
        silence.as_secs(),
        in_flight,
        clients.in_words()
    )))
}

/// The time from which an answer with a silence counts as slow.
fn slow(silence: Duration) -> Duration {
    silence.mul_f64(SLOW_SHARE)
}
