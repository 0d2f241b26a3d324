//! A model that nobody serves gets a 404 from the gateway, and goes no further.

use anyhow::Result;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::Effort;
use poolproof_cases::expect;
use poolproof_client::{Api, Connections, Request, drive, nonce, payload};
use poolproof_model::verdict::{Findings, Outcome};

use super::FarEnd;

pub(super) const CASE: Case = Case {
    id: "routing/unknown-model",
    requirement: "A request for a model that no route names is answered with 404 within a second, not as a stream, \
                  and neither an endpoint picker nor an endpoint sees it.",
    level: Level::Must,
    source: "Gateway API v1.5.1, HTTPRouteRule: unmatched requests get 404; OpenAI API, errors: 404 for an unknown model",
    needs: &[],
    alpha_parts: 0,
    plan: |_, _| Ok(Effort::requests(12)),
    run: |ctx| Box::pin(unknown_model(ctx)),
};

/// Few enough that a gateway answers each at once.
const IN_FLIGHT: usize = 4;

async fn unknown_model(ctx: &Context) -> Result<Outcome> {
    let client = ctx.client(Connections::KeepAlive)?;
    let mut rng = ctx.rng("prompts");
    let mut findings = Findings::default();
    let before = FarEnd::read(ctx).await?;
    let (mut requests, mut asked) = (Vec::new(), Vec::new());
    for api in [Api::Completions, Api::Chat] {
        for stream in [false, true] {
            for name in ["no-such-model", "gpt-4o", "x"] {
                let mut body = payload(api, name.into(), &nonce(&mut rng), 4);
                body["stream"] = stream.into();
                requests.push(Request::from_json(api, &body).timeout(ctx.timeouts.request));
                asked.push(format!("model {name:?} by {api:?}, stream {stream}"));
            }
        }
    }
    let exchanges = drive::closed_loop(&client, IN_FLIGHT, requests.into_iter()).await;
    let mut slowest_ms = 0;
    for (what, exchange) in asked.iter().zip(&exchanges) {
        findings.add(expect::status(what, exchange, 404));
        findings.add(expect::routed_nowhere(what, exchange));
        findings.add(expect::that(
            !exchange.is_event_stream(),
            what,
            "an answer that is no event stream",
            exchange.header("content-type").unwrap_or("no content-type"),
        ));
        let took_ms = exchange.latency().as_millis() as u64;
        slowest_ms = slowest_ms.max(took_ms);
        findings.add(expect::that(
            exchange.latency() < ctx.timeouts.prompt_answer,
            what,
            format!("an answer within {:?}", ctx.timeouts.prompt_answer),
            format!("{took_ms} ms"),
        ));
    }
    let compared = before.expect_untouched(ctx, &mut findings).await?;
    Ok(findings.outcome(format!(
        "404 each time, the slowest after {slowest_ms} ms; {compared}"
    )))
}
