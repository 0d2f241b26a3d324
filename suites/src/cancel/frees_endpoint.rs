//! A client that leaves: its endpoint stops working for it.

use std::time::Duration;

use anyhow::{Context as _, Result};
use poolproof_cases::ballast::wait_until_idle;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::Effort;
use poolproof_cases::expect;
use poolproof_cases::need::{EndpointLogs, Find, HeldByPriority, PoolToLoad};
use poolproof_client::evidence::{epp, scrapes};
use poolproof_client::poll;
use poolproof_client::{Ending, Exchange, Leave};
use poolproof_model::target::{Model, Pool};
use poolproof_model::verdict::{Findings, Outcome};

use super::left::{FREED, at_endpoints, expect_stopped};
use crate::mix::Kind;
use crate::priority::contention::saturate;
use crate::ways::{Clients, STREAMS, VERSIONS_REQUESTS, WHOLE, directed};

pub(super) const CASE: Case = Case {
    id: "cancel/frees-endpoint",
    requirement: "When a client leaves, before the answer begins, in the middle of a stream, during an answer that is not streamed or \
                  while the endpoint picker holds its request, no endpoint works for it two seconds later.",
    level: Level::Must,
    source: "vLLM aborts a request whose connection is closed; BerriAI/litellm#13774, ai-dynamo/dynamo#14775",
    needs: &[PoolToLoad::NEED],
    alpha_parts: 0,
    plan: |_, _| {
        let requests = (PHASES.len() + 1) * CLIENTS + PACE_REQUESTS + VERSIONS_REQUESTS;
        Ok(Effort::requests(requests).in_flight(CLIENTS).waits(3.0))
    },
    run: |ctx| Box::pin(frees_endpoint(ctx)),
};

/// When clients leave.
struct Phase {
    what: &'static str,
    ways: &'static [Kind],
    leave: Leave,
    /// The directive without which the phase cannot be reached.
    directive: Option<&'static str>,
}

const PHASES: [Phase; 3] = [
    Phase {
        what: "a request whose client leaves before the headers",
        ways: &Kind::ALL,
        leave: Leave::After(UNDER_WAY),
        directive: Some("slow-headers-6000"),
    },
    Phase {
        what: "a request whose client leaves in the middle of its stream",
        ways: &STREAMS,
        leave: Leave::AtFrame(5),
        directive: None,
    },
    Phase {
        what: "a request whose client leaves during an answer that is not streamed",
        ways: &WHOLE,
        leave: Leave::After(UNDER_WAY),
        directive: None,
    },
];
/// Clients that leave in a phase.
const CLIENTS: usize = 24;
/// Of them, those whose request has to be at an endpoint: a fault in one of five is caught with a power of 0.99.
const JUDGED: usize = 21;
/// Until a request is at its endpoint.
const UNDER_WAY: Duration = Duration::from_millis(400);
/// How long clients wait while the endpoint picker holds their requests.
const HELD_FOR: Duration = Duration::from_millis(1000);
/// The tokens of an answer, at least and at most.
const TOKENS: (f64, f64) = (3000.0, 8192.0);
const PACE_REQUESTS: usize = 1;
const PACE_TOKENS: u32 = 16;

async fn frees_endpoint(ctx: &Context) -> Result<Outcome> {
    let (model, pool) = PoolToLoad::find(&ctx.target)?;
    let has_logs = EndpointLogs::look(&ctx.target).is_some();
    for endpoint in &pool.endpoints {
        wait_until_idle(&ctx.http, endpoint, ctx.timeouts.drain).await?;
    }
    let clients = Clients::of(ctx, model).await?;
    let pace = pace(ctx, model, &clients).await?;
    let mut findings = Findings::default();
    findings.add(expect::success("a request before any client leaves", &pace));
    if findings.failed() {
        return Ok(findings.outcome(""));
    }
    let (tokens, expected) = tokens(&pace, has_logs);
    if !has_logs && expected < 2 * FREED {
        return Ok(Outcome::inconclusive(format!(
            "an answer of {tokens} tokens takes {} ms: without logs of endpoints its end looks like a stop",
            expected.as_millis()
        )));
    }
    let (mut judged, begun_us) = (Vec::new(), scrapes::now_us());
    let (mut late, mut not_stopped) = (0, 0);
    for phase in PHASES {
        if phase.directive.is_some() && !has_logs {
            findings.note(format!(
                "not judged without endpoints that delay answers: {}",
                phase.what
            ));
            continue;
        }
        let exchanges = leave(ctx, model, &clients, &phase, tokens).await;
        let n = if has_logs {
            let shown = expect_stopped(ctx, phase.what, &exchanges, &mut findings).await?;
            late += shown.late;
            not_stopped += shown.not_stopped;
            shown.at_endpoint
        } else {
            expect_idle(ctx, model, phase.what, &mut findings).await?;
            exchanges
                .iter()
                .filter(|it| it.ending == Ending::Left)
                .count()
        };
        if n < JUDGED {
            let doubt = format!(
                "{}: only {n} of {CLIENTS} were at an endpoint when the client left",
                phase.what
            );
            return Ok(undecided(findings, doubt));
        }
        judged.push(n.to_string());
    }
    if let Some((model, pool, _)) = HeldByPriority::look(&ctx.target) {
        if let Some(doubt) = held(ctx, model, pool, &clients, has_logs, &mut findings).await? {
            return Ok(undecided(findings, doubt));
        }
    } else {
        findings
            .note("not judged without a pool whose endpoint picker holds requests: held requests");
    }
    // On a machine that is too busy, everything is late.
    let doubt = if late > 0 && not_stopped == 0 {
        scrapes::starved(&ctx.http, &pool.endpoints, begun_us).await
    } else {
        None
    };
    let source = if has_logs { "logs" } else { "metrics" };
    let summary = format!(
        "endpoints stopped within {FREED:?} for {} clients that left, by their {source}, {}",
        judged.join(" + "),
        clients.in_words()
    );
    Ok(findings.outcome_unless(summary, doubt))
}

/// The outcome of a phase that could not be reached. What earlier phases found stays.
fn undecided(findings: Findings, doubt: String) -> Outcome {
    if findings.failed() {
        findings.outcome("")
    } else {
        Outcome::invalid(doubt)
    }
}

/// A request by which the pace of endpoints is known.
async fn pace(ctx: &Context, model: &Model, clients: &Clients) -> Result<Exchange> {
    let mut rng = ctx.rng("pace");
    let request = WHOLE[0].full_request(ctx, model, PACE_TOKENS, &mut rng);
    let mut pace = clients.send(1, 1, [request]).await;
    pace.pop().context("an answer")
}

/// The tokens of an answer, and how long they take by the pace of a request. Logs show how an answer ended; without them it has to take
/// several times as long as endpoints have to stop.
fn tokens(pace: &Exchange, has_logs: bool) -> (u32, Duration) {
    let token_s = pace.latency().as_secs_f64() / f64::from(PACE_TOKENS);
    let wanted = 3.0 * FREED.as_secs_f64() / token_s;
    let tokens = if has_logs {
        TOKENS.0
    } else {
        wanted.clamp(TOKENS.0, TOKENS.1)
    };
    (tokens as u32, Duration::from_secs_f64(tokens * token_s))
}

/// Sends the requests of a phase, all at once, and waits until all clients have left.
async fn leave(
    ctx: &Context,
    model: &Model,
    clients: &Clients,
    phase: &Phase,
    tokens: u32,
) -> Vec<Exchange> {
    let mut rng = ctx.rng(phase.what);
    let requests = (0..CLIENTS).map(|number| {
        let way = phase.ways[number % phase.ways.len()];
        let request = way
            .full_request(ctx, model, tokens, &mut rng)
            .leaving(phase.leave);
        match phase.directive {
            Some(directive) => directed(request, directive),
            None => request,
        }
    });
    let requests: Vec<_> = requests.collect();
    clients.send(CLIENTS, Kind::ALL.len(), requests).await
}

/// Adds whether endpoints are idle in time, by their metrics.
async fn expect_idle(
    ctx: &Context,
    model: &Model,
    what: &str,
    findings: &mut Findings,
) -> Result<()> {
    let idle = poll::until("endpoints are idle", FREED, poll::INTERVAL, || async {
        let at_endpoints = at_endpoints(ctx, model).await.ok()?;
        (at_endpoints == 0.0).then_some(())
    });
    let is_idle = idle.await.is_ok();
    findings.add(expect::that(
        is_idle,
        what,
        format!("no request at the endpoints {FREED:?} after the last client has left"),
        format!("{} requests", at_endpoints(ctx, model).await?),
    ));
    Ok(())
}

/// Clients that leave while the endpoint picker holds their requests. Returns why nothing follows from it, if so.
async fn held(
    ctx: &Context,
    model: &Model,
    pool: &Pool,
    clients: &Clients,
    has_logs: bool,
    findings: &mut Findings,
) -> Result<Option<String>> {
    const WHAT: &str = "a request whose client leaves while the endpoint picker holds it";
    for endpoint in &pool.endpoints {
        wait_until_idle(&ctx.http, endpoint, ctx.timeouts.drain).await?;
    }
    let ballast = saturate(ctx, model, pool).await?;
    let mut rng = ctx.rng("held");
    let requests = (0..CLIENTS).map(|number| {
        let request = Kind::ALL[number % Kind::ALL.len()].full_request(ctx, model, 4, &mut rng);
        request.leaving(Leave::After(HELD_FOR))
    });
    let requests: Vec<_> = requests.collect();
    let held = |reading: epp::Reading| reading.held.values().sum::<u64>();
    let all_held = poll::until("requests are held", HELD_FOR, poll::INTERVAL, || async {
        let reading = epp::read(&ctx.http, pool).await.ok()?;
        (held(reading?) >= JUDGED as u64).then_some(())
    });
    let (exchanges, all_held) =
        tokio::join!(clients.send(CLIENTS, Kind::ALL.len(), requests), all_held);
    let left = exchanges.iter().filter(|it| it.ending == Ending::Left);
    let left = left.count();
    if left < JUDGED || (pool.epp_metrics.is_some() && all_held.is_err()) {
        return Ok(Some(format!(
            "only {left} of {CLIENTS} requests were held at a saturated pool until their clients left"
        )));
    }
    if pool.epp_metrics.is_some() {
        let none_held = poll::until("no request is held", FREED, poll::INTERVAL, || async {
            let reading = epp::read(&ctx.http, pool).await.ok()?;
            (held(reading?) == 0).then_some(())
        });
        let freed = none_held.await.is_ok();
        let reading = epp::read(&ctx.http, pool).await?;
        findings.add(expect::that(
            freed,
            "requests that the endpoint picker holds once their clients have left",
            0,
            reading.map_or(0, held),
        ));
    }
    drop(ballast);
    for endpoint in &pool.endpoints {
        wait_until_idle(&ctx.http, endpoint, ctx.timeouts.drain).await?;
    }
    if !has_logs {
        findings.note("whether held requests ran later is not known without logs of endpoints");
        return Ok(None);
    }
    // The endpoint picker sends on what it still holds as soon as it has seen that endpoints are free.
    tokio::time::sleep(ctx.timeouts.metrics_settle).await;
    let shown = expect_stopped(ctx, WHAT, &exchanges, findings).await?;
    if shown.never_arrived + shown.at_endpoint < JUDGED {
        return Ok(Some("too few clients left while held".to_owned()));
    }
    findings.note(format!(
        "{} of {CLIENTS} requests whose clients left while they were held never reached an endpoint",
        shown.never_arrived
    ));
    Ok(None)
}
