//! A connection that an endpoint closes between two requests costs no request.

use anyhow::{Context as _, Result};
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::Effort;
use poolproof_cases::expect;
use poolproof_cases::need::{EndpointLogs, Find};
use poolproof_model::verdict::{Findings, Outcome};

use crate::mix::Kind;
use crate::ways::{Clients, VERSIONS_REQUESTS, directed};

pub(super) const CASE: Case = Case {
    id: "errors/closed-connections",
    requirement: "No request is lost although endpoints close each connection after an answer, announced or not.",
    level: Level::Must,
    source: "RFC 9112, sections 9.5 and 9.6; higress-group/higress#2811",
    needs: &[EndpointLogs::NEED],
    alpha_parts: 0,
    plan: |_, _| {
        Ok(Effort::requests(ENDS.len() * REQUESTS + VERSIONS_REQUESTS).in_flight(IN_FLIGHT))
    },
    run: |ctx| Box::pin(closed_connections(ctx)),
};

/// How a connection ends after an answer: `connection: close`, or without announcement, together with the end of the answer.
const ENDS: [&str; 2] = ["close", "hang-up"];
/// Requests for each: a loss of 2 % is caught with a power of 0.99.
const REQUESTS: usize = 228;
const IN_FLIGHT: usize = 4;

async fn closed_connections(ctx: &Context) -> Result<Outcome> {
    let models = &ctx.target.models;
    let clients = Clients::of(ctx, models.first().context("a model")?).await?;
    let mut rng = ctx.rng("prompts");
    let mut findings = Findings::default();
    for end in ENDS {
        let requests = (0..REQUESTS).map(|number| {
            let model = &models[number / Kind::ALL.len() % models.len()];
            let request = Kind::ALL[number % Kind::ALL.len()].full_request(ctx, model, 2, &mut rng);
            directed(request, end)
        });
        let requests: Vec<_> = requests.collect();
        let exchanges = clients.send(IN_FLIGHT, Kind::ALL.len() * 2, requests).await;
        let what = format!("every request while endpoints close connections ({end})");
        for exchange in &exchanges {
            findings.add(expect::success(&what, exchange));
        }
    }
    Ok(findings.outcome(format!(
        "{} requests served, each on a connection that was closed after it, {}",
        ENDS.len() * REQUESTS,
        clients.in_words()
    )))
}
