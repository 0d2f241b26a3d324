//! An answer without a body ends at once.

use anyhow::Result;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::{Decision, Effort};
use poolproof_cases::expect;
use poolproof_cases::need::{EndpointLogs, Find};
use poolproof_client::raw::speaks_http2;
use poolproof_client::{Connections, Request, drive, nonce, payload};
use poolproof_model::verdict::{Findings, Outcome};

use super::events::model_to_ask;
use super::none_of;
use crate::mix::Kind;
use crate::ways::directed;

pub(super) const CASE: Case = Case {
    id: "protocol/empty-answers",
    requirement: "A 204 and a chunked 200 with an empty body arrive as the endpoint sent them and end within a second.",
    level: Level::Must,
    source: "RFC 9110, section 15.3.5, and RFC 9112, section 7.1: a last chunk may be the only one; envoyproxy/envoy#44201",
    needs: &[EndpointLogs::NEED],
    alpha_parts: 0,
    plan: |_, rates| {
        let plan = none_of(BAD, rates)?;
        let samples = ANSWERS.len() * VERSIONS.len();
        let effort = Effort::requests(plan.n as usize * samples).in_flight(IN_FLIGHT);
        Ok(effort.decides(vec![Decision::Fixed(plan); samples]))
    },
    run: |ctx| Box::pin(empty_answers(ctx)),
};

/// What endpoints are asked to answer, and its status.
const ANSWERS: [(&str, u16); 2] = [("empty-204", 204), ("empty-200", 200)];
const VERSIONS: [(&str, Connections); 2] = [
    ("HTTP/1.1", Connections::KeepAlive),
    ("HTTP/2", Connections::Http2),
];
/// The smallest share of wrong answers of each kind that must be caught.
const BAD: f64 = 0.2;
const IN_FLIGHT: usize = 21;

async fn empty_answers(ctx: &Context) -> Result<Outcome> {
    let plan = none_of(BAD, &ctx.rates)?;
    let (model, _) = model_to_ask(&ctx.target)?;
    let has_http2 = speaks_http2(&ctx.target, ctx.timeouts.prompt_answer).await?;
    let mut rng = ctx.rng("prompts");
    let mut findings = Findings::default();
    let (mut sent, mut slowest_ms) = (0, 0);
    for (version, connections) in VERSIONS {
        if connections == Connections::Http2 && !has_http2 {
            findings.note("the gateway does not speak HTTP/2: no empty answers over it");
            continue;
        }
        let client = ctx.client(connections)?;
        for (directive, status) in ANSWERS {
            let kinds = Kind::ALL.iter().cycle().take(plan.n as usize);
            let requests = kinds.map(|kind| {
                let mut body = payload(kind.api, model.name.as_str().into(), &nonce(&mut rng), 1);
                body["stream"] = kind.streamed.into();
                let request = directed(Request::from_json(kind.api, &body), directive);
                // One that does not end is seen by then.
                request.timeout(2 * ctx.timeouts.prompt_answer)
            });
            let requests: Vec<Request> = requests.collect();
            let exchanges = drive::closed_loop(&client, IN_FLIGHT, requests.into_iter()).await;
            let mut wrong = 0;
            for (exchange, kind) in exchanges.iter().zip(Kind::ALL.iter().cycle()) {
                let what = format!("{directive} over {version} to {}", kind.in_words());
                let before = findings.mismatches();
                findings.add(expect::status(&what, exchange, status));
                findings.add(expect::that(
                    exchange.body.is_empty(),
                    &what,
                    "an empty body",
                    exchange.describe(),
                ));
                let took_ms = exchange.latency().as_millis() as u64;
                slowest_ms = slowest_ms.max(took_ms);
                findings.add(expect::that(
                    exchange.latency() < ctx.timeouts.prompt_answer,
                    &what,
                    format!("an end within {:?}", ctx.timeouts.prompt_answer),
                    format!("{took_ms} ms"),
                ));
                wrong += u64::from(findings.mismatches() > before);
            }
            sent += exchanges.len();
            let of = format!("share of wrong answers to {directive} over {version}");
            findings.add_statistic(plan.decide(of, wrong, plan.n));
        }
    }
    Ok(findings.outcome(format!(
        "{sent} empty answers as the endpoint sent them, the slowest after {slowest_ms} ms"
    )))
}
