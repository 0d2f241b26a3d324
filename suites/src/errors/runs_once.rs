//! A request whose answer fails is not sent again.

use anyhow::{Context as _, Result};
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::Effort;
use poolproof_cases::expect;
use poolproof_cases::need::{EndpointLogs, Find};
use poolproof_client::poll;
use poolproof_model::verdict::{Findings, Outcome};

use super::arrivals::arrivals;
use crate::mix::Kind;
use crate::ways::{Clients, STREAMS, VERSIONS_REQUESTS, WHOLE, directed};

pub(super) const CASE: Case = Case {
    id: "errors/runs-once",
    requirement: "A request whose endpoint resets the connection, refuses it, answers late or breaks its answer off arrives at one endpoint \
                  of its model, once.",
    level: Level::Must,
    source: "RFC 9110, section 9.2.2: a proxy must not retry what is not idempotent; agentgateway/agentgateway#1444",
    needs: &[EndpointLogs::NEED],
    alpha_parts: 0,
    plan: |_, _| {
        let requests = KINDS.len() * REPEATS + VERSIONS_REQUESTS;
        Ok(Effort::requests(requests).in_flight(IN_FLIGHT))
    },
    run: |ctx| Box::pin(runs_once(ctx)),
};

/// What may make a gateway send a request again, and the ways to ask for it.
const KINDS: [(&str, &[Kind]); 8] = [
    ("reset", &Kind::ALL),
    ("status-429", &Kind::ALL),
    ("status-500", &Kind::ALL),
    ("status-502", &Kind::ALL),
    ("status-503", &Kind::ALL),
    ("cut-after-2", &STREAMS),
    ("cut-body-20", &WHOLE),
    ("slow-headers-600", &Kind::ALL),
];
/// Requests of a kind: a fault in one of five is caught with a power of 0.995.
const REPEATS: usize = 24;
const TOKENS: u32 = 8;
const IN_FLIGHT: usize = 24;

async fn runs_once(ctx: &Context) -> Result<Outcome> {
    let models = &ctx.target.models;
    let clients = Clients::of(ctx, models.first().context("a model")?).await?;
    let mut rng = ctx.rng("prompts");
    let (mut requests, mut asked) = (Vec::new(), Vec::new());
    for (directive, ways) in KINDS {
        for number in 0..REPEATS {
            let way = ways[number % ways.len()];
            let model = &models[number / Kind::ALL.len() % models.len()];
            let request = way.full_request(ctx, model, TOKENS, &mut rng);
            requests.push(directed(request, directive));
            asked.push((model, format!("{directive}, {}", way.in_words())));
        }
    }
    let exchanges = clients.send(IN_FLIGHT, Kind::ALL.len() * 2, requests).await;
    // A gateway may send a request again after it has answered it.
    let again = poll::until(
        "a request arrives again",
        ctx.timeouts.metrics_settle,
        poll::INTERVAL,
        || async {
            let arrivals = arrivals(ctx, None).await.ok()?;
            let mut arrived = exchanges.iter().map(|exchange| arrivals.get(&exchange.id));
            arrived
                .any(|pools| pools.is_some_and(|pools| pools.len() > 1))
                .then_some(())
        },
    );
    // Whether one did is judged below.
    let _ = again.await;
    let arrivals = arrivals(ctx, None).await?;
    let mut findings = Findings::default();
    for ((model, what), exchange) in asked.iter().zip(&exchanges) {
        let pools = arrivals.get(&exchange.id).map_or(&[][..], Vec::as_slice);
        let is_own = |pool: &&str| model.weighted_pools().any(|own| own.name == **pool);
        findings.add(expect::that(
            pools.len() == 1 && pools.iter().all(is_own),
            what,
            "one arrival, in a pool of its model",
            match pools {
                [] => format!("none; {}", exchange.describe()),
                pools => format!("{} arrivals, in pool {}", pools.len(), pools.join(", ")),
            },
        ));
    }
    Ok(findings.outcome(format!(
        "{} requests with failures of {} kinds, one arrival each by the endpoints' logs, {}",
        exchanges.len(),
        KINDS.len(),
        clients.in_words()
    )))
}
