//! When the load moves, the picks follow.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use poolproof_cases::ballast::wait_until_idle;
use poolproof_cases::budget::Rates;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::{Context, Timeouts};
use poolproof_cases::effort::Effort;
use poolproof_cases::need::{EndpointNames, Find, PoolToLoad};
use poolproof_client::evidence::watch::Watch;
use poolproof_client::evidence::{scrapes, served};
use poolproof_client::poll;
use poolproof_client::{Connections, Exchange};
use poolproof_model::target::{Endpoint, Pool};
use poolproof_model::verdict::{Findings, Outcome};
use poolproof_stats::binomial::{Plan, Question};
use tokio::sync::oneshot::{self, error::TryRecvError};
use tokio_util::task::AbortOnDropHandle;

use super::busy::{WAITING, blind_at_times};
use crate::loaded::{INTERVAL_MIN, Load, interval, not_as_arranged};
use crate::mix::Mix;

pub(super) const CASE: Case = Case {
    id: "distribution/follows-load",
    requirement: "When the queue moves from one endpoint to another, the picks follow within a second.",
    level: Level::Should,
    source: "GIE v1.5.0, --refresh-metrics-interval: 50 ms by default",
    needs: &[PoolToLoad::NEED, EndpointNames::NEED],
    alpha_parts: 1,
    plan: |target, rates| {
        let (_, pool) = PoolToLoad::find(target)?;
        let plan = plan(pool, rates)?;
        // Probes run on while the load moves, and for the time that it may take to be followed.
        let probes_in = |time: Duration| (time.as_millis() / INTERVAL_MIN.as_millis()) as usize;
        let slowest = probes_in(Timeouts::default().fill + FOLLOWED_AFTER) as u64;
        let spare = (judged_probes(&plan) as u64).saturating_sub(plan.n);
        let besides = 2 * probes_in(FOLLOWED_AFTER) + spare as usize;
        let probes = Effort::fixed(&plan).and(besides);
        let probes = probes.in_flight(pool.endpoints.len()).waits(2.0);
        Ok(probes.at_most(plan.n + spare + slowest))
    },
    run: |ctx| Box::pin(follows_load(ctx)),
};

/// The time after which picks must have followed.
const FOLLOWED_AFTER: Duration = Duration::from_secs(1);

fn plan(pool: &Pool, rates: &Rates) -> Result<Plan> {
    let question = Question::AtMost {
        null: 0.02,
        bad: blind_at_times(pool),
    };
    Plan::new(question, rates.alpha, rates.power)
}

/// Probes after which the time is up: more than are needed, since one counts only if the load was as arranged when it was sent.
fn judged_probes(plan: &Plan) -> u32 {
    (plan.n * 3 / 2) as u32
}

async fn follows_load(ctx: &Context) -> Result<Outcome> {
    let (model, pool) = PoolToLoad::find(&ctx.target)?;
    let (first, second) = (&pool.endpoints[0], &pool.endpoints[1]);
    let plan = plan(pool, &ctx.rates)?;
    for endpoint in &pool.endpoints {
        wait_until_idle(&ctx.http, endpoint, ctx.timeouts.drain).await?;
    }
    let client = ctx.client(Connections::KeepAlive)?;
    let idle = pool.endpoints.len() - 1;
    let interval = interval(ctx, &client, model, idle).await?;
    let load = Load::Waiting(WAITING);

    let ballast = load.put(ctx, first, &model.name).await?;
    // The one that becomes busy stands first, then the one that was.
    let others = pool.endpoints.iter().skip(2);
    let watched: Vec<Endpoint> = [second, first].into_iter().chain(others).cloned().collect();
    let watch = Watch::start(&ctx.http, &watched);
    let since_us = scrapes::now_us();
    tokio::time::sleep(ctx.timeouts.metrics_settle).await;
    // Probes run on while the load moves, so that the last wrong pick is seen.
    let (stop, mut stopped) = oneshot::channel::<()>();
    let (mut rng, mut mix) = (ctx.rng("probes"), Mix::default());
    let prober = {
        let (client, model, timeout) = (client.clone(), model.name.clone(), ctx.timeouts.case);
        AbortOnDropHandle::new(tokio::spawn(async move {
            let mut tasks = Vec::new();
            let mut ticks = tokio::time::interval(interval);
            while matches!(stopped.try_recv(), Err(TryRecvError::Empty)) {
                ticks.tick().await;
                let request = mix.request(&model, 1, &mut rng);
                let client = client.clone();
                let exchange = async move { client.send(request.timeout(timeout)).await };
                tasks.push(AbortOnDropHandle::new(tokio::spawn(exchange)));
            }
            tasks
        }))
    };
    let moved_ballast = load.put(ctx, second, &model.name).await?;
    ballast.release().await?;
    let moved_at = seen_moved(ctx, &watch).await?;
    tokio::time::sleep(FOLLOWED_AFTER + interval * judged_probes(&plan)).await;
    drop(stop);
    let tasks = prober.await?;
    watch.read_after(Instant::now() + interval).await;
    let starved = scrapes::starved(&ctx.http, &pool.endpoints, since_us).await;
    moved_ballast.release().await?;
    let mut exchanges = Vec::new();
    for task in tasks {
        exchanges.push(task.await?);
    }
    let as_arranged = |sent_at: Instant| {
        not_as_arranged(ctx, &watch, &watched, 1, load, sent_at, interval).is_none()
    };
    Ok(judge(
        &exchanges,
        second,
        moved_at,
        &plan,
        as_arranged,
        starved,
    ))
}

/// When the endpoints first showed the second one busy and the first one not.
async fn seen_moved(ctx: &Context, watch: &Watch) -> Result<Instant> {
    let what = "the load moves: the first endpoint has no queue any more";
    let idle_again = poll::until(what, ctx.timeouts.fill, poll::INTERVAL, || async {
        let last = watch.points(1).pop()?;
        (last.reading.waiting == 0.0).then_some(last.at)
    });
    let idle_again = idle_again.await?;
    let busy = watch.points(0).into_iter();
    let busy = busy
        .filter(|point| point.reading.waiting >= 1.0)
        .map(|p| p.at);
    let busy = busy.min().context("the second endpoint was never busy")?;
    Ok(busy.max(idle_again))
}

fn judge(
    exchanges: &[Exchange],
    busy: &Endpoint,
    moved_at: Instant,
    plan: &Plan,
    as_arranged: impl Fn(Instant) -> bool,
    starved: Option<String>,
) -> Outcome {
    let wrong = |e: &&Exchange| served::endpoint_of(e) == Some(&busy.name);
    let after = exchanges.iter().filter(|e| e.sent_at > moved_at);
    let last_wrong = after.filter(wrong).map(|e| e.sent_at).max();
    let followed_ms = last_wrong.map_or(0, |at| (at - moved_at).as_millis());
    let late = exchanges
        .iter()
        .filter(|e| e.sent_at > moved_at + FOLLOWED_AFTER);
    let judged: Vec<&Exchange> = late.clone().filter(|e| as_arranged(e.sent_at)).collect();
    let hits = judged.iter().copied().filter(|e| wrong(e)).count() as u64;
    let mut findings = Findings::default();
    let of = format!("share of {} from 1 s after it became busy", busy.name);
    findings.add_statistic(plan.decide(of, hits, judged.len() as u64));
    findings.note(format!(
        "last pick of the newly busy endpoint {followed_ms} ms after its queue was seen"
    ));
    if (judged.len() as u64) < plan.n && !findings.failed() {
        return Outcome::invalid(format!(
            "{} of {} probes met the load as arranged, too few to judge",
            judged.len(),
            late.count()
        ));
    }
    findings.outcome_unless(
        format!("the picks followed within {followed_ms} ms"),
        starved,
    )
}
