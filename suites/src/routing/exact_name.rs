//! The model name is compared as it is: no folding of case, no prefix, no suffix; but JSON escapes are the same name.

use anyhow::Result;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::Effort;
use poolproof_cases::expect;
use poolproof_cases::need::{EndpointNames, Find};
use poolproof_client::{Api, Connections, Request, nonce, payload};
use poolproof_model::target::Target;
use poolproof_model::verdict::{Findings, Outcome};

use super::FarEnd;
use crate::none;

pub(super) const CASE: Case = Case {
    id: "routing/exact-name",
    requirement: "A name that differs from a served one in case, by a prefix or by a suffix is another name (404); \
                  the same name in JSON escapes is the same.",
    level: Level::Must,
    source: "Gateway API v1.5.1, HTTPHeaderMatch type Exact; RFC 8259, section 8.3",
    needs: &[EndpointNames::NEED],
    alpha_parts: 0,
    plan: |_, rates| {
        let plan = none::plan(none::SHARE, rates)?;
        Ok(Effort::fixed(&plan).times(2).in_flight(IN_FLIGHT))
    },
    run: |ctx| Box::pin(exact_name(ctx)),
};

/// Few enough that a gateway answers each at once.
const IN_FLIGHT: usize = 8;
const APIS: [Api; 2] = [Api::Completions, Api::Chat];

async fn exact_name(ctx: &Context) -> Result<Outcome> {
    let client = ctx.client(Connections::KeepAlive)?;
    let mut rng = ctx.rng("prompts");
    let mut findings = Findings::default();
    let before = FarEnd::read(ctx).await?;
    let plan = none::plan(none::SHARE, &ctx.rates)?;
    let sample = 0..plan.n as usize;

    let others = others(&ctx.target);
    let asked = sample.clone().map(|number| {
        let other = &others[number % others.len()];
        let api = APIS[number / others.len() % APIS.len()];
        let body = payload(api, other.as_str().into(), &nonce(&mut rng), 1);
        let request = Request::from_json(api, &body).timeout(ctx.timeouts.request);
        (format!("model {other:?} by {api:?}"), request)
    });
    let (asked, of) = (asked.collect(), "share of other names that were matched");
    none::send(
        &client,
        IN_FLIGHT,
        (&plan, of),
        asked,
        &mut findings,
        |_, what, exchange| {
            vec![
                expect::status(what, exchange, 404),
                expect::routed_nowhere(what, exchange),
            ]
        },
    )
    .await;
    let compared = before.expect_untouched(ctx, &mut findings).await?;

    let models = &ctx.target.models;
    let asked = sample.map(|number| {
        let name = &models[number % models.len()].name;
        let api = APIS[number / models.len() % APIS.len()];
        let request = Request::from_bytes(api, escaped(api, name, &nonce(&mut rng)));
        let what = format!("model {name:?} in JSON escapes by {api:?}");
        (what, request.timeout(ctx.timeouts.request))
    });
    let (asked, of) = (
        asked.collect(),
        "share of escaped names that were not matched",
    );
    none::send(
        &client,
        IN_FLIGHT,
        (&plan, of),
        asked,
        &mut findings,
        |number, what, exchange| {
            let model = &models[number % models.len()];
            vec![
                expect::success(what, exchange),
                expect::served_by(what, exchange, &ctx.target, model),
            ]
        },
    )
    .await;
    Ok(findings.outcome(format!(
        "{n} requests for other names: 404, {compared}; {n} for names in JSON escapes: served",
        n = plan.n
    )))
}

/// Names that differ a little from served ones, and are not served.
fn others(target: &Target) -> Vec<String> {
    let names = target.models.iter().flat_map(|model| {
        let name = &model.name;
        let shorter: String = name.chars().take(name.chars().count() - 1).collect();
        [
            name.to_uppercase(),
            format!("{name}-x"),
            format!("{name}0"),
            format!("x{name}"),
            format!("org/{name}"),
            shorter,
        ]
    });
    let is_served = |name: &String| {
        let mut models = target.models.iter();
        models.any(|model| model.name == *name || model.adapters.contains(name))
    };
    names
        .filter(|name| !name.is_empty() && !is_served(name))
        .collect()
}

/// A body whose model name is spelled in JSON escapes.
fn escaped(api: Api, name: &str, prompt: &str) -> String {
    let name: String = name
        .encode_utf16()
        .map(|unit| format!("\\u{unit:04x}"))
        .collect();
    let prompt = match api {
        Api::Completions => format!(r#""prompt":"{prompt}""#),
        _ => format!(r#""messages":[{{"role":"user","content":"{prompt}"}}]"#),
    };
    format!(r#"{{"model":"{name}",{prompt},"max_tokens":1,"ignore_eos":true}}"#)
}
