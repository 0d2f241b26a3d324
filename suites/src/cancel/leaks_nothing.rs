//! After many clients have left, the pool is as it was before.

use std::time::Duration;

use anyhow::Result;
use poolproof_cases::ballast::wait_until_idle;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::Effort;
use poolproof_cases::expect;
use poolproof_cases::need::{EndpointLogs, EndpointNames, Find, PoolToLoad};
use poolproof_client::evidence::{control, served};
use poolproof_client::{Connections, Ending, Leave};
use poolproof_model::target::{Model, Pool};
use poolproof_model::verdict::{Findings, Outcome};

use crate::distribution::idle;
use crate::mix::Kind;
use crate::sample::Sample;
use crate::ways::{Clients, STREAMS, VERSIONS_REQUESTS, WHOLE, directed};

pub(super) const CASE: Case = Case {
    id: "cancel/leaks-nothing",
    requirement: "After 100 clients have left at any time, an idle pool serves one request for each of its slots at once, and starves no \
                  endpoint.",
    level: Level::Must,
    source: "vllm-project/router#215, vllm-project/production-stack#1072",
    needs: &[PoolToLoad::NEED, EndpointNames::NEED],
    alpha_parts: 1,
    plan: |target, rates| {
        let (_, pool) = PoolToLoad::find(target)?;
        let tests = idle::tests(pool, rates)?;
        let sample = Effort::sequential(tests.iter().map(|it| (&it.test, 1.0)));
        let slots = pool.endpoints.len() * SLOTS_MAX;
        Ok(sample.and(LEAVES.len() * CLIENTS + slots + VERSIONS_REQUESTS))
    },
    run: |ctx| Box::pin(leaks_nothing(ctx)),
};

/// A way to leave.
struct Leaving {
    ways: &'static [Kind],
    leave: Option<Leave>,
    /// What endpoints do, if they take directives.
    directive: Option<&'static str>,
}

const LEAVES: [Leaving; 5] = [
    Leaving {
        ways: &Kind::ALL,
        leave: Some(Leave::After(Duration::from_millis(300))),
        directive: Some("slow-headers-6000"),
    },
    Leaving {
        ways: &STREAMS,
        leave: Some(Leave::AtFrame(3)),
        directive: None,
    },
    Leaving {
        ways: &WHOLE,
        leave: Some(Leave::After(Duration::from_millis(300))),
        directive: None,
    },
    Leaving {
        ways: &Kind::ALL,
        leave: Some(Leave::After(Duration::from_millis(3))),
        directive: None,
    },
    // Not the client leaves, but the endpoint.
    Leaving {
        ways: &Kind::ALL,
        leave: None,
        directive: Some("reset"),
    },
];
/// Clients of each kind.
const CLIENTS: usize = 25;
/// The tokens of an answer that nobody waits for.
const TOKENS: u32 = 3000;
/// Requests that an endpoint runs at once, at most, as far as they are used; and where it does not tell.
const SLOTS_MAX: usize = 64;
const SLOTS_UNKNOWN: usize = 4;

async fn leaks_nothing(ctx: &Context) -> Result<Outcome> {
    let (model, pool) = PoolToLoad::find(&ctx.target)?;
    let takes_directives = EndpointLogs::look(&ctx.target).is_some();
    let clients = Clients::of(ctx, model).await?;
    let mut rng = ctx.rng("leaving");
    let mut left = 0;
    for leaving in LEAVES {
        if leaving.leave.is_none() && !takes_directives {
            continue;
        }
        let requests = (0..CLIENTS).map(|number| {
            let way = leaving.ways[number % leaving.ways.len()];
            let mut request = way.full_request(ctx, model, TOKENS, &mut rng);
            request.leave = leaving.leave;
            match leaving.directive.filter(|_| takes_directives) {
                Some(directive) => directed(request, directive),
                None => request,
            }
        });
        let requests: Vec<_> = requests.collect();
        let exchanges = clients.send(CLIENTS, Kind::ALL.len(), requests).await;
        left += exchanges
            .iter()
            .filter(|it| it.ending == Ending::Left)
            .count();
    }
    for endpoint in &pool.endpoints {
        wait_until_idle(&ctx.http, endpoint, ctx.timeouts.drain).await?;
    }
    // Until the endpoint picker has seen that they are.
    tokio::time::sleep(ctx.timeouts.metrics_settle).await;

    let mut findings = Findings::default();
    let slots = burst(ctx, model, pool, &clients, left, &mut findings).await?;
    let tests = idle::tests(pool, &ctx.rates)?;
    let client = ctx.client(Connections::KeepAlive)?;
    let mut sample = Sample::start(ctx, &client, model, 1).await?;
    sample.settle(&tests, &mut findings).await;
    let counts = served::by_endpoint(sample.exchanges.iter());
    let summary = format!(
        "after {left} clients had left, {slots} requests at once were served, then {}",
        served::in_words(&counts)
    );
    sample.conclude(findings, summary).await
}

/// Sends one request for each slot of the pool, all at once, and adds whether each is served. Returns how many there are.
async fn burst(
    ctx: &Context,
    model: &Model,
    pool: &Pool,
    clients: &Clients,
    left: usize,
    findings: &mut Findings,
) -> Result<usize> {
    let mut slots = 0;
    for endpoint in &pool.endpoints {
        slots += match &endpoint.control {
            Some(_) => {
                let settings = control::settings(&ctx.http, endpoint).await?;
                let running = settings["max_num_seqs"].as_u64();
                running.map_or(SLOTS_UNKNOWN, |n| (n as usize).min(SLOTS_MAX))
            }
            None => SLOTS_UNKNOWN,
        };
    }
    let mut rng = ctx.rng("burst");
    let requests = (0..slots)
        .map(|number| Kind::ALL[number % Kind::ALL.len()].full_request(ctx, model, 8, &mut rng));
    let requests: Vec<_> = requests.collect();
    let what =
        format!("{slots} requests at once, one for each slot, after {left} clients had left");
    for exchange in &clients.send(slots, Kind::ALL.len(), requests).await {
        findings.add(expect::success(&what, exchange));
    }
    Ok(slots)
}
