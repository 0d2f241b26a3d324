//! Every model, through both APIs, streamed and not, is served by its own pools.

use anyhow::Result;
use poolproof_harness::case::{Case, Level};
use poolproof_harness::client::{Api, Connections, Request, nonce, payload};
use poolproof_harness::context::Context;
use poolproof_harness::effort::Effort;
use poolproof_harness::evidence::served::{self, CrossCheck};
use poolproof_harness::expect;
use poolproof_harness::need::{EndpointNames, Find, TwoModels};
use poolproof_harness::verdict::{Findings, Outcome};

pub(super) const CASE: Case = Case {
    id: "routing/known-model",
    requirement: "A request whose body names a served model is served by a pool of that model.",
    level: Level::Must,
    source: "GIE v1.5.0, site-src/guides/serving-multiple-models: routes match X-Gateway-Base-Model-Name",
    needs: &[TwoModels::NEED, EndpointNames::NEED],
    alpha_parts: 0,
    plan: |target, _| Ok(Effort::requests(target.models.len() * 4 * REPEATS)),
    run: |ctx| Box::pin(known_model(ctx)),
};

/// Requests for each combination, so that a pool which gets a part of the traffic only is seen too.
const REPEATS: usize = 5;

async fn known_model(ctx: &Context) -> Result<Outcome> {
    let client = ctx.client(Connections::KeepAlive)?;
    let mut rng = ctx.rng("prompts");
    let mut findings = Findings::default();
    let check = CrossCheck::start(&ctx.http, ctx.target.pools()).await?;
    let mut exchanges = Vec::new();
    for model in &ctx.target.models {
        for (api, stream) in [
            (Api::Completions, false),
            (Api::Completions, true),
            (Api::Chat, false),
            (Api::Chat, true),
        ] {
            for _ in 0..REPEATS {
                let mut body = payload(api, model.name.as_str().into(), &nonce(&mut rng), 4);
                body["stream"] = stream.into();
                let request = Request::from_json(api, &body).timeout(ctx.timeouts.request);
                let exchange = client.send(request).await;
                let what = format!("{} by {api:?}, stream {stream}", model.name);
                findings.add(expect::success(&what, &exchange));
                findings.add(expect::served_by(&what, &exchange, &ctx.target, model));
                findings.add(expect::that(
                    exchange.status != Some(200) || exchange.is_event_stream() == stream,
                    &what,
                    format!("an event stream: {stream}"),
                    exchange.header("content-type").unwrap_or("no content-type"),
                ));
                exchanges.push(exchange);
            }
        }
    }
    let answered = served::by_endpoint(exchanges.iter());
    let summary = format!(
        "{} requests, each served by its own model's pool",
        exchanges.len()
    );
    let doubt = match check
        .finish(&ctx.http, &answered, false, ctx.timeouts.counters)
        .await?
    {
        Ok(sources) => {
            findings.note(sources);
            None
        }
        Err(disagreement) if !findings.failed() => return Ok(Outcome::invalid(disagreement)),
        Err(_) => None,
    };
    Ok(findings.outcome_unless(summary, doubt))
}
