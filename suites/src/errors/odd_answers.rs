//! An answer with odd content ends nothing but its own request.

use std::time::Duration;

use anyhow::{Context as _, Result};
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::Effort;
use poolproof_cases::expect;
use poolproof_cases::need::{EndpointLogs, Find};
use poolproof_client::evidence::cross_check::Counters;
use poolproof_client::{Ending, Exchange, poll};
use poolproof_model::change::{self, Change};
use poolproof_model::verdict::{Findings, Outcome};

use crate::mix::Kind;
use crate::ways::{Clients, VERSIONS_REQUESTS, directed};

pub(super) const CASE: Case = Case {
    id: "errors/odd-answers",
    requirement: "After answers whose usage or token counts are strings, that lack choices, that are no JSON or that have a header of 1 MiB, every model \
                  is served as before, and no endpoint picker has restarted.",
    level: Level::Must,
    source: "OpenAI API, usage, is what endpoints promise, not what they must be trusted with; llm-d/llm-d#1363",
    needs: &[EndpointLogs::NEED],
    alpha_parts: 0,
    plan: |target, _| {
        let odd = ODD.len() * Kind::ALL.len() * REPEATS;
        let requests = target.models.len() * (odd + ODD.len() * GOOD) + VERSIONS_REQUESTS;
        Ok(Effort::requests(requests).in_flight(IN_FLIGHT))
    },
    run: |ctx| Box::pin(odd_answers(ctx)),
};

/// What is odd about an answer.
const ODD: [&str; 5] = [
    "no-choices",
    "not-json",
    "long-header-1048576",
    "odd-counts",
    "odd-usage",
];
/// Odd answers of a kind, for each model and way.
const REPEATS: usize = 2;
/// Good requests for each model after each kind. A picker or a route that is gone loses all of them; a fault in one of five is caught
/// with a power of 0.99.
const GOOD: usize = 21;
const IN_FLIGHT: usize = 4;

async fn odd_answers(ctx: &Context) -> Result<Outcome> {
    let models = &ctx.target.models;
    let clients = Clients::of(ctx, models.first().context("a model")?).await?;
    let mut rng = ctx.rng("prompts");
    let mut findings = Findings::default();
    let before = Counters::read(&ctx.http, ctx.target.pools()).await?;
    for odd in ODD {
        let mut requests = Vec::new();
        for model in models {
            for _ in 0..REPEATS {
                requests.extend(
                    Kind::ALL.map(|way| directed(way.full_request(ctx, model, 4, &mut rng), odd)),
                );
            }
        }
        let exchanges = clients.send(IN_FLIGHT, Kind::ALL.len(), requests).await;
        for exchange in &exchanges {
            findings.add(expect::that(
                exchange.ending != Ending::TimedOut,
                &format!("a request whose answer is odd ({odd})"),
                "an end",
                exchange.describe(),
            ));
        }
        for model in models {
            let requests = (0..GOOD).map(|number| {
                Kind::ALL[number % Kind::ALL.len()].full_request(ctx, model, 2, &mut rng)
            });
            let requests: Vec<_> = requests.collect();
            let what = format!("every request for {} after odd answers ({odd})", model.name);
            for exchange in &clients.send(IN_FLIGHT, Kind::ALL.len(), requests).await {
                findings.add(expect::success(&what, exchange));
            }
        }
        if findings.failed() {
            break;
        }
    }
    let counted = Counters::read(&ctx.http, ctx.target.pools()).await;
    let went_on = counted.map_err(|error| format!("{error:#}"));
    let went_on = went_on.and_then(|now| now.since(&before));
    findings.add(expect::that(
        went_on.is_ok(),
        "counters of endpoint pickers",
        "go on",
        went_on.err().unwrap_or_default(),
    ));
    if findings.failed() && !restart_pickers(ctx).await? {
        until_served(ctx, &clients).await;
    }
    Ok(findings.outcome(format!(
        "odd answers of {} kinds, then {} requests served, {}",
        ODD.len(),
        models.len() * ODD.len() * GOOD,
        clients.in_words()
    )))
}

/// Restarts endpoint pickers that may be gone, so that later cases are judged on their own. They are started when the case is over.
/// Returns whether the target takes such changes.
async fn restart_pickers(ctx: &Context) -> Result<bool> {
    let changes = ctx.target.changes.as_ref();
    if !changes.is_some_and(|changes| changes.kinds.contains(&change::Kind::Picker)) {
        return Ok(false);
    }
    for pool in ctx.target.pools() {
        let down = Change::Picker {
            pool: pool.name.clone(),
            running: false,
        };
        ctx.change(down).await?;
    }
    Ok(true)
}

/// A kubelet starts a container that ended at once, and after 10, 20 and 40 s if it ends again (Kubernetes, Pod Lifecycle).
const RESTART: Duration = Duration::from_secs(75);

/// Waits until every model is served: what ended may be started again by what watches over it. If it is not, later cases show that.
async fn until_served(ctx: &Context, clients: &Clients) {
    let served = || async {
        let mut rng = ctx.rng("until served");
        let models = ctx.target.models.iter();
        let requests = models.flat_map(|model| {
            let ways = Kind::ALL.iter().cycle().take(GOOD);
            ways.map(|way| way.full_request(ctx, model, 1, &mut rng))
                .collect::<Vec<_>>()
        });
        let requests: Vec<_> = requests.collect();
        let exchanges = clients.send(IN_FLIGHT, Kind::ALL.len(), requests).await;
        exchanges.iter().all(Exchange::is_success).then_some(())
    };
    let _ = poll::until("every model is served", RESTART, poll::INTERVAL, served).await;
}
