//! A body from which no model name can be read is the client's error, and goes nowhere.

use anyhow::Result;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::Effort;
use poolproof_client::{Api, Connections, Request};
use poolproof_model::verdict::{Findings, Outcome};

use super::{FarEnd, refused};

pub(super) const CASE: Case = Case {
    id: "routing/invalid-model",
    requirement: "A request whose model is missing, null, a number or empty, or whose body is empty or no JSON, \
                  gets a 4xx and is routed nowhere.",
    level: Level::Must,
    source: "OpenAI API, completions: model is a required string; RFC 9110, section 15.5",
    needs: &[],
    alpha_parts: 0,
    plan: |_, _| Ok(Effort::requests(14)),
    run: |ctx| Box::pin(invalid_model(ctx)),
};

async fn invalid_model(ctx: &Context) -> Result<Outcome> {
    let client = ctx.client(Connections::KeepAlive)?;
    let mut findings = Findings::default();
    let before = FarEnd::read(ctx).await?;
    let bodies = [
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
    for (what, body) in bodies {
        for api in [Api::Completions, Api::Chat] {
            let request = Request::from_bytes(api, body).timeout(ctx.timeouts.request);
            let exchange = client.send(request).await;
            refused(&mut findings, &format!("{what} by {api:?}"), &exchange);
        }
    }
    let compared = before.expect_untouched(ctx, &mut findings).await?;
    Ok(findings.outcome(format!(
        "{} bodies without a model name refused by both APIs; {compared}",
        bodies.len()
    )))
}
