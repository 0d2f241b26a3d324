//! The model is found wherever it stands in the body.

use anyhow::Result;
use poolproof_harness::case::{Case, Level};
use poolproof_harness::client::{Api, Connections, Request, nonce};
use poolproof_harness::context::Context;
use poolproof_harness::effort::Effort;
use poolproof_harness::expect;
use poolproof_harness::need::{EndpointNames, Find};
use poolproof_harness::verdict::{Findings, Outcome};

pub(super) const CASE: Case = Case {
    id: "routing/late-model",
    requirement: "A model name that stands behind a prompt of 64 KiB or 1 MiB is found, and the whole body arrives.",
    level: Level::Must,
    source: "RFC 8259, section 4: members of an object have no order; GIE v1.5.0, pkg/bbr: the whole body is read",
    needs: &[EndpointNames::NEED],
    alpha_parts: 0,
    plan: |target, _| {
        let models = target.models.len();
        Ok(Effort::requests(models * 2).tokens(models * (64 + 1024) * KIB / BYTES_PER_TOKEN))
    },
    run: |ctx| Box::pin(late_model(ctx)),
};

/// Of a long word, for most tokenizers.
const BYTES_PER_TOKEN: usize = 8;
const KIB: usize = 1024;

async fn late_model(ctx: &Context) -> Result<Outcome> {
    let client = ctx.client(Connections::KeepAlive)?;
    let mut rng = ctx.rng("prompts");
    let mut findings = Findings::default();
    for model in &ctx.target.models {
        for prompt_kib in [64, 1024] {
            // One long word: few tokens for most tokenizers, so that it fits into the model's context.
            let mut prompt = nonce(&mut rng);
            prompt.push_str(&"a".repeat(prompt_kib * KIB - prompt.len()));
            let body = format!(
                r#"{{"prompt":"{prompt}","max_tokens":1,"ignore_eos":true,"model":"{}"}}"#,
                model.name
            );
            let request = Request::from_bytes(Api::Completions, body);
            let exchange = client.send(request.timeout(ctx.timeouts.request)).await;
            let what = format!("{} after a prompt of {prompt_kib} KiB", model.name);
            findings.add(expect::served_by(&what, &exchange, &ctx.target, model));
            // A model whose context is shorter may say so; that answer comes from the right place too.
            if exchange.status != Some(400) {
                findings.add(expect::success(&what, &exchange));
            }
        }
    }
    Ok(findings.outcome("found behind 64 KiB and 1 MiB"))
}
