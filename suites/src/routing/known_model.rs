//! Every model, through both APIs, streamed and not, is served by its own pools.

use anyhow::Result;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::Effort;
use poolproof_cases::expect;
use poolproof_cases::need::{EndpointNames, Find, TwoModels};
use poolproof_client::{Api, Connections, Request, nonce, payload};
use poolproof_model::target::Model;
use poolproof_model::verdict::{Findings, Outcome};

use super::own_pools::{Known, OwnPools};

pub(super) const CASE: Case = Case {
    id: "routing/known-model",
    requirement: "A request whose body names a served model is served by a pool of that model, once, after a pick by that \
                  pool's own endpoint picker.",
    level: Level::Must,
    source: "GIE v1.5.0, site-src/guides/serving-multiple-models: routes match X-Gateway-Base-Model-Name",
    needs: &[TwoModels::NEED, EndpointNames::NEED],
    alpha_parts: 0,
    plan: |target, _| {
        let repeats: usize = target.models.iter().map(repeats).sum();
        Ok(Effort::requests(repeats * COMBINATIONS.len()))
    },
    run: |ctx| Box::pin(known_model(ctx)),
};

const COMBINATIONS: [(Api, bool); 4] = [
    (Api::Completions, false),
    (Api::Completions, true),
    (Api::Chat, false),
    (Api::Chat, true),
];
/// Requests for each combination, at least and at most.
const REPEATS: usize = 5;
const REPEATS_MAX: usize = 50;
/// The chance that the pool of the least weight gets no request at all.
const MISSED: f64 = 1e-3;

async fn known_model(ctx: &Context) -> Result<Outcome> {
    let client = ctx.client(Connections::KeepAlive)?;
    let mut rng = ctx.rng("prompts");
    let mut findings = Findings::default();
    let (mut all, mut doubt) = (Known::default(), None);
    for model in &ctx.target.models {
        let mut own = OwnPools::start(ctx, model).await?;
        for (api, stream) in COMBINATIONS {
            for _ in 0..repeats(model) {
                let mut body = payload(api, model.name.as_str().into(), &nonce(&mut rng), 4);
                body["stream"] = stream.into();
                let request = Request::from_json(api, &body).timeout(ctx.timeouts.request);
                let exchange = client.send(request).await;
                let what = format!("{} by {api:?}, stream {stream}", model.name);
                findings.add(expect::that(
                    exchange.status != Some(200) || exchange.is_event_stream() == stream,
                    &what,
                    format!("an event stream: {stream}"),
                    exchange.header("content-type").unwrap_or("no content-type"),
                ));
                own.add(&what, exchange, &mut findings);
            }
        }
        match own.finish(&mut findings).await? {
            Ok(known) => all = all.and(known),
            Err(disagreement) => doubt = Some(disagreement),
        }
    }
    match doubt {
        Some(doubt) if !findings.failed() => Ok(Outcome::invalid(doubt)),
        _ => Ok(findings.outcome(all.in_words())),
    }
}

/// Requests for each combination: enough that each pool of the model which has a weight gets one of all of them, but for a
/// chance of [`MISSED`].
fn repeats(model: &Model) -> usize {
    let total = f64::from(model.total_weight());
    let shares = model
        .weighted_pools()
        .map(|pool| f64::from(pool.weight) / total);
    let least = shares.fold(1.0, f64::min);
    if least >= 1.0 {
        return REPEATS;
    }
    let requests = MISSED.ln() / (1.0 - least).ln();
    ((requests / COMBINATIONS.len() as f64).ceil() as usize).clamp(REPEATS, REPEATS_MAX)
}
