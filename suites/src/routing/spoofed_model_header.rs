//! The header that routes match is the gateway's: what a client puts into it never changes the route.

use anyhow::Result;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::Effort;
use poolproof_cases::expect;
use poolproof_cases::need::{EndpointNames, Find, TwoModels};
use poolproof_client::{Api, Connections, Request, nonce, payload};
use poolproof_model::verdict::{Findings, Outcome};

use super::{FarEnd, refused};

pub(super) const CASE: Case = Case {
    id: "routing/spoofed-model-header",
    requirement: "A client-sent X-Gateway-Base-Model-Name or X-Gateway-Model-Name, once or repeated, never changes the route: \
                  the model in the body decides, and a body without one is still refused.",
    level: Level::Must,
    source: "GIE v1.5.0, pkg/bbr/plugins: the header is derived from the body",
    needs: &[TwoModels::NEED, EndpointNames::NEED],
    alpha_parts: 0,
    plan: |target, _| {
        Ok(Effort::requests(
            (target.models.len() + 2) * spoofed().count(),
        ))
    },
    run: |ctx| Box::pin(spoofed_model_header(ctx)),
};

const HEADERS: [&str; 2] = ["X-Gateway-Base-Model-Name", "X-Gateway-Model-Name"];
/// How often the header is in a request: who removes the first one may leave the second.
const TIMES: [usize; 2] = [1, 2];

async fn spoofed_model_header(ctx: &Context) -> Result<Outcome> {
    let client = ctx.client(Connections::KeepAlive)?;
    let mut rng = ctx.rng("prompts");
    let mut findings = Findings::default();
    let models = &ctx.target.models;
    for (model, other) in models.iter().zip(models.iter().cycle().skip(1)) {
        for (header, times) in spoofed() {
            let body = payload(
                Api::Completions,
                model.name.as_str().into(),
                &nonce(&mut rng),
                1,
            );
            let request = with_header(&body, header, &other.name, times);
            let exchange = client.send(request.timeout(ctx.timeouts.request)).await;
            let what = format!("model {} with {times} {header}: {}", model.name, other.name);
            findings.add(expect::success(&what, &exchange));
            findings.add(expect::served_by(&what, &exchange, &ctx.target, model));
        }
    }
    let before = FarEnd::read(ctx).await?;
    for (header, times) in spoofed() {
        let bodies = [
            (
                "an unknown model",
                payload(Api::Completions, "no-such-model".into(), "p", 1),
            ),
            (
                "a body without model",
                serde_json::json!({"prompt": "p", "max_tokens": 1}),
            ),
        ];
        for (what, body) in bodies {
            let request = with_header(&body, header, &models[0].name, times);
            let exchange = client.send(request.timeout(ctx.timeouts.request)).await;
            let what = format!("{what} with {times} {header}: {}", models[0].name);
            refused(&mut findings, &what, &exchange);
        }
    }
    let compared = before.expect_untouched(ctx, &mut findings).await?;
    Ok(findings.outcome(format!(
        "the body decides, whatever the client puts into the header; bodies without a served model: refused, {compared}"
    )))
}

fn spoofed() -> impl Iterator<Item = (&'static str, usize)> {
    HEADERS
        .into_iter()
        .flat_map(|header| TIMES.map(|times| (header, times)))
}

fn with_header(body: &serde_json::Value, header: &str, value: &str, times: usize) -> Request {
    let request = Request::from_json(Api::Completions, body);
    (0..times).fold(request, |request, _| request.header(header, value))
}
