//! Blanks at the ends of a model name.

use anyhow::Result;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::Effort;
use poolproof_client::{Api, Connections, Request, nonce, payload};
use poolproof_model::verdict::{Findings, Outcome};

use super::refused;

pub(super) const CASE: Case = Case {
    id: "routing/blanks",
    requirement: "A name with blanks at its ends is another name. (A gateway that matches by a header cannot tell: \
                  HTTP trims header values.)",
    level: Level::May,
    source: "RFC 9110, section 5.5: field values have no leading or trailing whitespace",
    needs: &[],
    alpha_parts: 0,
    plan: |target, _| Ok(Effort::requests(target.models.len() * 2)),
    run: |ctx| Box::pin(blanks(ctx)),
};

async fn blanks(ctx: &Context) -> Result<Outcome> {
    let client = ctx.client(Connections::KeepAlive)?;
    let mut rng = ctx.rng("prompts");
    let mut findings = Findings::default();
    for model in &ctx.target.models {
        for name in [format!(" {}", model.name), format!("{} ", model.name)] {
            let body = payload(Api::Completions, name.as_str().into(), &nonce(&mut rng), 1);
            let request = Request::from_json(Api::Completions, &body);
            let exchange = client.send(request.timeout(ctx.timeouts.request)).await;
            refused(&mut findings, &format!("model {name:?}"), &exchange);
        }
    }
    Ok(findings.outcome("a name with blanks at its ends gets a 4xx of the gateway"))
}
