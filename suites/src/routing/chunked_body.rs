//! A body without content-length is a body.

use anyhow::Result;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::Effort;
use poolproof_cases::need::{EndpointNames, Find};
use poolproof_client::{Api, Connections, Request};
use poolproof_model::verdict::{Findings, Outcome};

use super::own_pools::{Known, OwnPools};
use super::refused;

pub(super) const CASE: Case = Case {
    id: "routing/chunked-body",
    requirement: "A request body in chunks, without content-length, is routed as any other.",
    level: Level::Must,
    source: "RFC 9112, section 7.1: a recipient must be able to parse the chunked transfer coding",
    needs: &[EndpointNames::NEED],
    alpha_parts: 0,
    plan: |target, _| Ok(Effort::requests(target.models.len() * 2 + 1)),
    run: |ctx| Box::pin(chunked_body(ctx)),
};

async fn chunked_body(ctx: &Context) -> Result<Outcome> {
    let client = ctx.client(Connections::KeepAlive)?;
    let mut rng = ctx.rng("prompts");
    let mut findings = Findings::default();
    let (mut all, mut doubt) = (Known::default(), None);
    for model in &ctx.target.models {
        let mut own = OwnPools::start(ctx, model).await?;
        for api in [Api::Completions, Api::Chat] {
            let request = Request::new(api, &model.name, 2, &mut rng).chunked();
            let exchange = client.send(request.timeout(ctx.timeouts.request)).await;
            let what = format!("{} in chunks by {api:?}", model.name);
            own.add(&what, exchange, &mut findings);
        }
        match own.finish(&mut findings).await? {
            Ok(known) => all = all.and(known),
            Err(disagreement) => doubt = Some(disagreement),
        }
    }
    let request = Request::new(Api::Completions, "no-such-model", 2, &mut rng).chunked();
    let exchange = client.send(request.timeout(ctx.timeouts.request)).await;
    refused(&mut findings, "an unknown model in chunks", &exchange);
    match doubt {
        Some(doubt) if !findings.failed() => Ok(Outcome::invalid(doubt)),
        _ => Ok(findings.outcome(format!("bodies in chunks: {}", all.in_words()))),
    }
}
