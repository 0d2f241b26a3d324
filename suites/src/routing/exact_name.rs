//! The model name is compared as it is: no folding of case, no prefix, no suffix; but JSON escapes are the same name.

use anyhow::Result;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::Effort;
use poolproof_cases::expect;
use poolproof_cases::need::{EndpointNames, Find};
use poolproof_client::{Api, Connections, Request, nonce, payload};
use poolproof_model::verdict::{Findings, Outcome};

use super::FarEnd;

pub(super) const CASE: Case = Case {
    id: "routing/exact-name",
    requirement: "A name that differs from a served one in case, by a prefix or by a suffix is another name (404); \
                  the same name in JSON escapes is the same.",
    level: Level::Must,
    source: "Gateway API v1.5.1, HTTPHeaderMatch type Exact; RFC 8259, section 8.3",
    needs: &[EndpointNames::NEED],
    alpha_parts: 0,
    plan: |target, _| Ok(Effort::requests(target.models.len() * 7)),
    run: |ctx| Box::pin(exact_name(ctx)),
};

async fn exact_name(ctx: &Context) -> Result<Outcome> {
    let client = ctx.client(Connections::KeepAlive)?;
    let mut rng = ctx.rng("prompts");
    let mut findings = Findings::default();
    let before = FarEnd::read(ctx).await?;
    for model in &ctx.target.models {
        let name = &model.name;
        let shorter: String = name.chars().take(name.chars().count() - 1).collect();
        let others = [
            name.to_uppercase(),
            format!("{name}-x"),
            format!("{name}0"),
            format!("x{name}"),
            format!("org/{name}"),
            shorter,
        ];
        for other in others {
            let mut models = ctx.target.models.iter();
            let is_served = models.any(|it| it.name == other || it.adapters.contains(&other));
            if other.is_empty() || is_served {
                continue;
            }
            let body = payload(Api::Completions, other.as_str().into(), &nonce(&mut rng), 1);
            let request = Request::from_json(Api::Completions, &body);
            let exchange = client.send(request.timeout(ctx.timeouts.request)).await;
            let what = format!("model {other:?}");
            findings.add(expect::status(&what, &exchange, 404));
            findings.add(expect::routed_nowhere(&what, &exchange));
        }
    }
    let compared = before.expect_untouched(ctx, &mut findings).await?;
    for model in &ctx.target.models {
        let escaped: String = model
            .name
            .encode_utf16()
            .map(|unit| format!("\\u{unit:04x}"))
            .collect();
        let prompt = nonce(&mut rng);
        let body = format!(
            r#"{{"model":"{escaped}","prompt":"{prompt}","max_tokens":1,"ignore_eos":true}}"#
        );
        let request = Request::from_bytes(Api::Completions, body);
        let exchange = client.send(request.timeout(ctx.timeouts.request)).await;
        let what = format!("model {:?} in JSON escapes", model.name);
        findings.add(expect::success(&what, &exchange));
        findings.add(expect::served_by(&what, &exchange, &ctx.target, model));
    }
    Ok(findings.outcome(format!(
        "only the name itself is matched, escaped or not; other names: 404, {compared}"
    )))
}
