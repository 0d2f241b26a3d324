//! A client that waits for `100 Continue` before it sends its body is served.

use anyhow::Result;
use futures_util::{StreamExt, stream};
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::{Decision, Effort};
use poolproof_cases::expect;
use poolproof_cases::need::{EndpointNames, Find};
use poolproof_client::{Connections, Request, nonce, payload};
use poolproof_model::verdict::{Findings, Outcome};

use super::{none_of, of_own_pool};
use crate::mix::Kind;

pub(super) const CASE: Case = Case {
    id: "protocol/expect-continue",
    requirement: "A request with Expect: 100-continue gets 100 Continue within a second, and is then served by its model's pool.",
    level: Level::Must,
    source: "RFC 9110, section 10.1.1: a server must send 100, or a final status, at once",
    needs: &[EndpointNames::NEED],
    alpha_parts: 0,
    plan: |_, rates| {
        let plan = none_of(BAD, rates)?;
        let effort = Effort::requests(plan.n as usize).in_flight(IN_FLIGHT);
        Ok(effort.decides([Decision::Fixed(plan)]))
    },
    run: |ctx| Box::pin(expect_continue(ctx)),
};

/// The smallest share of wrong answers that must be caught.
const BAD: f64 = 0.2;
const IN_FLIGHT: usize = 4;
/// The lengths of bodies, about, in bytes: clients such as curl expect only with long ones.
const BODIES_BYTES: [usize; 2] = [0, 64 << 10];

async fn expect_continue(ctx: &Context) -> Result<Outcome> {
    let plan = none_of(BAD, &ctx.rates)?;
    let models = &ctx.target.models;
    let client = ctx.client(Connections::NewPerRequest)?;
    let mut rng = ctx.rng("prompts");
    let mut asked = Vec::new();
    for number in 0..plan.n as usize {
        let model = &models[number % models.len()];
        let kind = Kind::ALL[(number / models.len()) % Kind::ALL.len()];
        let bytes = BODIES_BYTES[number % BODIES_BYTES.len()];
        let mut body = payload(kind.api, model.name.as_str().into(), &nonce(&mut rng), 2);
        body["stream"] = kind.streamed.into();
        body["user"] = "x".repeat(bytes).into();
        let request = Request::from_json(kind.api, &body).timeout(ctx.timeouts.request);
        let what = format!("{} for {}, {bytes} bytes more", kind.in_words(), model.name);
        asked.push((model, what, request));
    }
    let wait = ctx.timeouts.prompt_answer;
    let requests: Vec<Request> = asked.iter().map(|(.., request)| request.clone()).collect();
    let answers = stream::iter(requests)
        .map(|request| client.send_expecting(request, wait))
        .buffered(IN_FLIGHT);
    let answers: Vec<_> = answers.collect().await;
    let mut findings = Findings::default();
    let (mut wrong, mut slowest_ms) = (0, 0);
    for ((model, what, _), answer) in asked.iter().zip(&answers) {
        let before = findings.mismatches();
        let exchange = &answer.exchange;
        findings.add(expect::status(what, exchange, 200));
        findings.add(expect::that(
            answer.continued_after.is_some(),
            what,
            format!("100 Continue within {wait:?}"),
            format!("none before {}", exchange.describe()),
        ));
        of_own_pool(ctx, what, model, exchange, &mut findings);
        if let Some(after) = answer.continued_after {
            slowest_ms = slowest_ms.max(after.as_millis() as u64);
        }
        wrong += u64::from(findings.mismatches() > before);
    }
    let of = "share of wrong answers to Expect: 100-continue";
    findings.add_statistic(plan.decide(of, wrong, plan.n));
    Ok(findings.outcome(format!(
        "{} requests got 100 Continue, the slowest after {slowest_ms} ms, and were served",
        plan.n
    )))
}
