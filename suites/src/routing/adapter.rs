//! Every LoRA adapter, through both APIs, is served by the pools of its base model, and by itself.

use anyhow::Result;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::Effort;
use poolproof_cases::expect;
use poolproof_cases::need::{Adapters, EndpointNames, Find};
use poolproof_client::{Api, Connections, Request, nonce, payload};
use poolproof_model::verdict::{Findings, Outcome};
use serde_json::Value;

use super::own_pools::{Known, OwnPools};

pub(super) const CASE: Case = Case {
    id: "routing/adapter",
    requirement: "A request whose body names a LoRA adapter is served by a pool of its base model, as that adapter.",
    level: Level::Must,
    source: "GIE v1.5.0, pkg/bbr/plugins: an adapter's requests get their base model's X-Gateway-Base-Model-Name",
    needs: &[Adapters::NEED, EndpointNames::NEED],
    alpha_parts: 0,
    plan: |target, _| {
        let adapters = target.models.iter().flat_map(|it| &it.adapters);
        Ok(Effort::requests(adapters.count() * APIS.len() * REPEATS))
    },
    run: |ctx| Box::pin(adapter(ctx)),
};

const APIS: [Api; 2] = [Api::Completions, Api::Chat];
/// Requests for each combination, so that a pool which gets a part of the traffic only is seen too.
const REPEATS: usize = 5;

async fn adapter(ctx: &Context) -> Result<Outcome> {
    let client = ctx.client(Connections::KeepAlive)?;
    let mut rng = ctx.rng("prompts");
    let mut findings = Findings::default();
    let mut adapters = 0;
    let (mut all, mut doubt) = (Known::default(), None);
    for model in &ctx.target.models {
        let mut own = OwnPools::start(ctx, model).await?;
        for name in &model.adapters {
            adapters += 1;
            for api in APIS.into_iter().flat_map(|api| [api; REPEATS]) {
                let body = payload(api, name.as_str().into(), &nonce(&mut rng), 1);
                let request = Request::from_json(api, &body).timeout(ctx.timeouts.request);
                let exchange = client.send(request).await;
                let what = format!("adapter {name} by {api:?}");
                // Where there is no answer, that has been found above.
                if exchange.is_success() {
                    let answer: Value = serde_json::from_slice(&exchange.body).unwrap_or_default();
                    let said = answer["model"].clone();
                    let what = format!("{what}: model of the answer");
                    findings.add(expect::that(said == **name, &what, name.as_str(), said));
                }
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
        _ => Ok(findings.outcome(format!(
            "{adapters} adapters, answering under their own names: {}",
            all.in_words()
        ))),
    }
}
