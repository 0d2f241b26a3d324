//! A held request is refused when its time to live is over.

use std::time::Duration;

use anyhow::Result;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::Effort;
use poolproof_cases::expect;
use poolproof_cases::need::{Find, HeldForATime, Need};
use poolproof_client::{Connections, Ending, drive, poll};
use poolproof_model::verdict::{Findings, Outcome};

use super::full::{Full, held, open};
use crate::mix::Mix;
use crate::times::expect_within;

pub(super) const CASE: Case = Case {
    id: "priority/held-expires",
    requirement: "While a pool stays full, each held request of every priority is refused with 503 when its time to live is over: not \
                  before 80 % of it, and about a second after it at most.",
    level: Level::Must,
    source: "GIE v1.5.0, EndpointPickerConfig, flowControl.defaultRequestTTL, and pkg/epp/requestcontrol/admission.go (EvictedTTL); \
             llm-d/llm-d-router#2095",
    needs: &[Need::time(), HeldForATime::NEED],
    alpha_parts: 0,
    plan: |target, _| {
        let (.., ttl) = HeldForATime::find(target)?;
        Ok(Effort::requests(HELD + SERVED)
            .in_flight(HELD)
            .waits(ttl.as_secs_f64() + 1.0))
    },
    run: |ctx| Box::pin(held_expires(ctx)),
};

/// Requests that are held: of two classes in turn, and of all kinds.
const HELD: usize = 40;
/// Of them, those that must be seen to be held.
const SEEN: u64 = 36;
/// Requests that the pool has to serve afterwards.
const SERVED: usize = 8;
const INTERVAL: Duration = Duration::from_millis(2);
/// The share of the time to live that a request has to be held.
const EARLIEST: f64 = 0.8;
/// The status of a request that expires.
const EXPIRED: u16 = 503;

async fn held_expires(ctx: &Context) -> Result<Outcome> {
    let (model, pool, classes, ttl) = HeldForATime::find(&ctx.target)?;
    let full = Full::fill(ctx, model, pool).await?;
    let client = ctx.client(Connections::KeepAlive)?;
    let (mut rng, mut mix) = (ctx.rng("prompts"), Mix::default());
    let latest = ttl + ctx.timeouts.held;
    let requests = (0..HELD).map(|number| {
        let class = [classes.interactive, classes.batch][number % 2];
        let kind = mix.kind(&mut rng);
        let request = super::request(ctx, &model.name, kind, Some(class), &mut rng);
        (kind, class, request.timeout(latest))
    });
    let requests: Vec<_> = requests.collect();
    let asked: Vec<_> = requests
        .iter()
        .map(|(kind, class, _)| (*kind, *class))
        .collect();
    let requests = requests.into_iter().map(|(.., request)| request);
    let sent = drive::open_loop(&client, INTERVAL, requests).await;
    let shown = shown_held(ctx, pool, &sent, ttl).await;

    let mut findings = Findings::default();
    let (mut times, mut served) = (Vec::new(), false);
    for ((kind, class), task) in asked.into_iter().zip(sent) {
        let exchange = task.await?;
        let what = format!("a held {class} request ({})", kind.in_words());
        let took = exchange.latency_from_send();
        let is_refused = exchange.status == Some(EXPIRED) && exchange.ending == Ending::Complete;
        findings.add(expect::that(
            is_refused,
            &what,
            format!("{EXPIRED} after {} ms", ttl.as_millis()),
            format!("after {} ms: {}", took.as_millis(), exchange.describe()),
        ));
        served |= exchange.is_success();
        if is_refused {
            times.push(took);
        }
    }
    expect_within(
        "held requests until they are refused",
        &times,
        ttl.mul_f64(EARLIEST)..=ttl + ctx.timeouts.prompt_answer,
        latest,
        &mut findings,
    );
    let doubt = full.doubt().await;
    drop(full);
    for _ in 0..SERVED {
        let kind = mix.kind(&mut rng);
        let request = super::request(ctx, &model.name, kind, Some(classes.interactive), &mut rng);
        let exchange = client.send(request.timeout(ctx.timeouts.request)).await;
        findings.add(expect::success(
            "a request once the pool has room",
            &exchange,
        ));
    }
    let seconds = |time: Option<&Duration>| time.map_or(0.0, Duration::as_secs_f64);
    let summary = format!(
        "{HELD} held requests refused with {EXPIRED} after {:.2} to {:.2} s, of {:.1} s to live; {}",
        seconds(times.iter().min()),
        seconds(times.iter().max()),
        ttl.as_secs_f64(),
        shown.as_deref().unwrap_or_default()
    );
    // What is refused too early is not seen to be held; what is served was not held.
    let doubt = doubt.or(shown.err().filter(|_| served));
    Ok(findings.outcome_unless(summary, doubt))
}

/// Waits until most requests are held. Returns how that is known.
async fn shown_held(
    ctx: &Context,
    pool: &poolproof_model::target::Pool,
    sent: &[drive::Sent],
    ttl: Duration,
) -> Result<String, String> {
    let limit = ctx.timeouts.held.min(ttl.mul_f64(EARLIEST));
    let what = format!("{SEEN} requests are held");
    let source = match pool.epp_metrics {
        Some(_) => "the endpoint picker's metrics",
        None => "the client's count",
    };
    let seen = poll::until(what, limit, poll::INTERVAL, || async {
        let held = held(ctx, pool, None).await.unwrap_or(open(sent) as u64);
        (held >= SEEN).then_some(held)
    });
    match seen.await {
        Ok(held) => Ok(format!("{held} of them seen to be held, by {source}")),
        Err(error) => Err(format!("no contention, by {source}: {error}")),
    }
}
