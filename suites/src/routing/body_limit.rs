//! A body over the gateway's limit is refused, not routed by what was read of it.

use anyhow::Result;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::Effort;
use poolproof_cases::expect;
use poolproof_cases::need::{BodyLimit, Find};
use poolproof_client::{Api, Connections, Ending, Request, nonce};
use poolproof_model::verdict::{Findings, Outcome};

pub(super) const CASE: Case = Case {
    id: "routing/body-limit",
    requirement: "A body over the gateway's limit gets 413 and is routed nowhere.",
    level: Level::Should,
    source: "RFC 9110, section 15.5.14",
    needs: &[BodyLimit::NEED],
    alpha_parts: 0,
    plan: |target, _| Ok(Effort::requests(target.models.len() * 2).tokens(0)),
    run: |ctx| Box::pin(body_limit(ctx)),
};

async fn body_limit(ctx: &Context) -> Result<Outcome> {
    let limit = BodyLimit::find(&ctx.target)?;
    let client = ctx.client(Connections::NewPerRequest)?;
    let mut rng = ctx.rng("prompts");
    let mut findings = Findings::default();
    let (mut answered, mut cut) = (0, 0);
    for model in &ctx.target.models {
        for chunked in [false, true] {
            let mut prompt = nonce(&mut rng);
            prompt.push_str(&"a".repeat(limit));
            let body = format!(
                r#"{{"model":"{}","prompt":"{prompt}","max_tokens":1,"ignore_eos":true}}"#,
                model.name
            );
            let mut request = Request::from_bytes(Api::Completions, body);
            if chunked {
                request = request.chunked();
            }
            let exchange = client.send(request.timeout(ctx.timeouts.request)).await;
            let what = format!(
                "{} with {} bytes, chunked {chunked}",
                model.name,
                limit + 64
            );
            findings.add(expect::routed_nowhere(&what, &exchange));
            // A server may close the connection while the client still sends (RFC 9110, section 15.5.14), so that the
            // answer is lost on the way.
            if matches!(exchange.ending, Ending::Cut(_)) {
                cut += 1;
            } else {
                answered += 1;
                findings.add(expect::status(&what, &exchange, 413));
            }
        }
    }
    Ok(findings.outcome(format!(
        "over {limit} bytes: {answered} answers of 413, {cut} connections closed without one"
    )))
}
