//! A body from which no model name can be read is the client's error, and goes nowhere.

use anyhow::Result;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::Effort;
use poolproof_client::{Api, Connections, Request};
use poolproof_model::verdict::{Findings, Outcome};

use super::{FarEnd, refusal};
use crate::none;

pub(super) const CASE: Case = Case {
    id: "routing/invalid-model",
    requirement: "A request whose model is missing, null, a number or empty, or whose body is empty or no JSON, \
                  gets a 4xx and is routed nowhere.",
    level: Level::Must,
    source: "OpenAI API, completions: model is a required string; RFC 9110, section 15.5",
    needs: &[],
    alpha_parts: 0,
    plan: |_, rates| {
        let plan = none::plan(none::SHARE, rates)?;
        Ok(Effort::fixed(&plan).in_flight(IN_FLIGHT))
    },
    run: |ctx| Box::pin(invalid_model(ctx)),
};

/// Few enough that a gateway answers each at once.
const IN_FLIGHT: usize = 8;

/// The bodies.
const BODIES: [(&str, &str); 7] = [
    ("missing model", r#"{"prompt":"p","max_tokens":1}"#),
    (
        "null model",
        r#"{"model":null,"prompt":"p","max_tokens":1}"#,
    ),
    (
        "numeric model",
        r#"{"model":7,"prompt":"p","max_tokens":1}"#,
    ),
    ("empty model", r#"{"model":"","prompt":"p","max_tokens":1}"#),
    ("empty body", ""),
    ("malformed JSON", r#"{"model":"#),
    ("an array", "[1]"),
];
const APIS: [Api; 2] = [Api::Completions, Api::Chat];

async fn invalid_model(ctx: &Context) -> Result<Outcome> {
    let client = ctx.client(Connections::KeepAlive)?;
    let mut findings = Findings::default();
    let before = FarEnd::read(ctx).await?;
    let plan = none::plan(none::SHARE, &ctx.rates)?;
    let asked = (0..plan.n as usize).map(|number| {
        let (what, body) = BODIES[number % BODIES.len()];
        let api = APIS[number / BODIES.len() % APIS.len()];
        let request = Request::from_bytes(api, body).timeout(ctx.timeouts.request);
        (format!("{what} by {api:?}"), request)
    });
    let asked = asked.collect();
    let of = "share of requests that were not refused";
    none::send(
        &client,
        IN_FLIGHT,
        (&plan, of),
        asked,
        &mut findings,
        |_, what, exchange| refusal(what, exchange).to_vec(),
    )
    .await;
    let compared = before.expect_untouched(ctx, &mut findings).await?;
    Ok(findings.outcome(format!(
        "{} requests with {} bodies without a model name refused by both APIs; {compared}",
        plan.n,
        BODIES.len()
    )))
}
