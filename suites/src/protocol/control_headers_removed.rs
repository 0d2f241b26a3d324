//! A control header that a client sends ends at the gateway.

use std::collections::BTreeMap;

use anyhow::Result;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::Effort;
use poolproof_cases::expect;
use poolproof_cases::need::{EndpointLogs, Find};
use poolproof_client::{Api, Connections, Request, drive, nonce, payload};
use poolproof_model::verdict::{Findings, Outcome};

use super::arrivals::Arrivals;
use super::control_headers::{ENDPOINTS, REWRITES};

pub(super) const CASE: Case = Case {
    id: "protocol/control-headers-removed",
    requirement: "A control header that a client sends, once or repeated, does not reach the endpoint, where a sidecar would obey it.",
    level: Level::Should,
    source: "GIE v1.5.0, pkg/epp/util/request/headers.go: control headers must be stripped so that they do not leak to the backend; \
             llm-d-router, pkg/common/routing: it drops these headers of a client",
    needs: &[EndpointLogs::NEED],
    alpha_parts: 0,
    plan: |_, _| Ok(Effort::requests(2 * EACH).in_flight(IN_FLIGHT)),
    run: |ctx| Box::pin(control_headers_removed(ctx)),
};

/// Requests of each API, at least: what one of five lets through is caught 99 times in 100.
const EACH: usize = 21;
const IN_FLIGHT: usize = 4;

/// What a client sends in a header. No endpoint has it, so that what arrives is known to be the client's.
fn value(name: &str) -> &'static str {
    if REWRITES.contains(&name) {
        "client-sent-model"
    } else {
        "127.0.0.1:9"
    }
}

async fn control_headers_removed(ctx: &Context) -> Result<Outcome> {
    EndpointLogs::find(&ctx.target)?;
    let client = ctx.client(Connections::KeepAlive)?;
    let mut rng = ctx.rng("prompts");
    let names: Vec<&str> = REWRITES.into_iter().chain(ENDPOINTS).collect();
    let models = &ctx.target.models;
    let requests = (0..2 * EACH).map(|number| {
        let api = [Api::Completions, Api::Chat][number % 2];
        let model = &models[number / 2 % models.len()];
        let mut body = payload(api, model.name.as_str().into(), &nonce(&mut rng), 1);
        body["stream"] = (number / 4 % 2 == 0).into();
        let times = 1 + number / 8 % 2;
        let request = Request::from_json(api, &body).timeout(ctx.timeouts.request);
        let headers = names.iter().flat_map(|name| vec![*name; times]);
        headers.fold(request, |request, name| request.header(name, value(name)))
    });
    let requests: Vec<Request> = requests.collect();
    let exchanges = drive::closed_loop(&client, IN_FLIGHT, requests.into_iter()).await;
    let arrivals = Arrivals::read(ctx, std::slice::from_ref(&client)).await?;

    let mut arrived = 0;
    let mut leaked: BTreeMap<&str, usize> = names.iter().map(|name| (*name, 0)).collect();
    for exchange in &exchanges {
        for (_, received) in arrivals.iter().flat_map(|all| all.of(&exchange.id)) {
            arrived += 1;
            for name in &names {
                let is_sent = |(own, sent): &(String, String)| {
                    own == name && sent.split(',').any(|part| part.trim() == value(name))
                };
                if received.headers.iter().any(is_sent) {
                    *leaked.entry(name).or_default() += 1;
                }
            }
        }
    }
    if arrived == 0 {
        return Ok(Outcome::inconclusive(
            "none of the requests reached an endpoint, so that no header could",
        ));
    }
    let mut findings = Findings::default();
    for (name, count) in leaked {
        let what = format!("requests with the client's {name} at their endpoint, of {arrived}");
        findings.add(expect::that(count == 0, &what, 0, count));
    }
    Ok(findings.outcome(format!(
        "{arrived} requests arrived without the {} headers that the client had set",
        names.len()
    )))
}
