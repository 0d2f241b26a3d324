//! A model that nobody serves gets a 404 from the gateway, and goes no further.

use anyhow::Result;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::Effort;
use poolproof_cases::expect;
use poolproof_client::{Api, Connections, Request, nonce, payload};
use poolproof_model::verdict::{Findings, Outcome};

use super::FarEnd;
use crate::none;

pub(super) const CASE: Case = Case {
    id: "routing/unknown-model",
    requirement: "A request for a model that no route names is answered with 404 within a second, not as a stream, \
                  and neither an endpoint picker nor an endpoint sees it.",
    level: Level::Must,
    source: "Gateway API v1.5.1, HTTPRouteRule: unmatched requests get 404; OpenAI API, errors: 404 for an unknown model",
    needs: &[],
    alpha_parts: 0,
    plan: |_, rates| {
        let plan = none::plan(none::SHARE, rates)?;
        Ok(Effort::fixed(&plan).in_flight(IN_FLIGHT))
    },
    run: |ctx| Box::pin(unknown_model(ctx)),
};

/// Few enough that a gateway answers each at once.
const IN_FLIGHT: usize = 8;

/// The kinds of requests, in turn: the API, whether it asks for a stream, and the model.
const KINDS: [(Api, bool, &str); 12] = [
    (Api::Completions, false, "no-such-model"),
    (Api::Chat, true, "gpt-4o"),
    (Api::Completions, true, "x"),
    (Api::Chat, false, "no-such-model"),
    (Api::Completions, false, "gpt-4o"),
    (Api::Chat, true, "x"),
    (Api::Completions, true, "no-such-model"),
    (Api::Chat, false, "gpt-4o"),
    (Api::Completions, false, "x"),
    (Api::Chat, true, "no-such-model"),
    (Api::Completions, true, "gpt-4o"),
    (Api::Chat, false, "x"),
];

async fn unknown_model(ctx: &Context) -> Result<Outcome> {
    let client = ctx.client(Connections::KeepAlive)?;
    let mut rng = ctx.rng("prompts");
    let mut findings = Findings::default();
    let before = FarEnd::read(ctx).await?;
    let plan = none::plan(none::SHARE, &ctx.rates)?;
    let asked = (0..plan.n as usize).map(|number| {
        let (api, stream, name) = KINDS[number % KINDS.len()];
        let mut body = payload(api, name.into(), &nonce(&mut rng), 4);
        body["stream"] = stream.into();
        let request = Request::from_json(api, &body).timeout(ctx.timeouts.request);
        (
            format!("model {name:?} by {api:?}, stream {stream}"),
            request,
        )
    });
    let asked = asked.collect();
    let of = "share of unknown models without a clean 404";
    let mut slowest_ms = 0;
    none::send(
        &client,
        IN_FLIGHT,
        (&plan, of),
        asked,
        &mut findings,
        |_, what, exchange| {
            let took_ms = exchange.latency().as_millis() as u64;
            slowest_ms = slowest_ms.max(took_ms);
            vec![
                expect::status(what, exchange, 404),
                expect::routed_nowhere(what, exchange),
                expect::that(
                    !exchange.is_event_stream(),
                    what,
                    "an answer that is no event stream",
                    exchange.header("content-type").unwrap_or("no content-type"),
                ),
                expect::that(
                    exchange.latency() < ctx.timeouts.prompt_answer,
                    what,
                    format!("an answer within {:?}", ctx.timeouts.prompt_answer),
                    format!("{took_ms} ms"),
                ),
            ]
        },
    )
    .await;
    let compared = before.expect_untouched(ctx, &mut findings).await?;
    Ok(findings.outcome(format!(
        "404 to each of {} requests, the slowest after {slowest_ms} ms; {compared}",
        plan.n
    )))
}
