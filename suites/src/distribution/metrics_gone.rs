//! An endpoint whose metrics are gone is no magnet.

use std::time::Duration;

use anyhow::{Context as _, Result};
use poolproof_cases::ballast::{Ballast, Source, wait_until_idle};
use poolproof_cases::budget::Rates;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::Effort;
use poolproof_cases::expect;
use poolproof_cases::need::{EndpointNames, Faults, Find, PoolToLoad};
use poolproof_client::evidence::{control, scrapes, served};
use poolproof_client::poll;
use poolproof_client::{Connections, drive};
use poolproof_model::target::Endpoint;
use poolproof_model::verdict::{Findings, Outcome};
use poolproof_stats::binomial::{Plan, Question};
use serde_json::json;

use crate::loaded::{Load, PACE_SAMPLES, interval};
use crate::mix::Mix;

pub(super) const CASE: Case = Case {
    id: "distribution/metrics-gone",
    requirement: "An endpoint whose /metrics has failed for some time, after it was idle, does not draw the requests of a \
                  pool whose other endpoints have a queue.",
    level: Level::Should,
    source: "GIE v1.5.0, utilization-detector: stale metrics count as saturated; the default configuration does not use it \
             to pick, and keeps the last values for ever",
    needs: &[PoolToLoad::NEED, EndpointNames::NEED, Faults::NEED],
    alpha_parts: 1,
    plan: |_, rates| {
        Ok(Effort::fixed(&plan(rates)?)
            .and(PACE_SAMPLES as usize)
            .waits(2.5))
    },
    run: |ctx| Box::pin(metrics_gone(ctx)),
};

/// Requests that wait at the endpoint without metrics, and at the others: it is the worst choice.
const WAITING_THERE: u64 = 4;
const WAITING_ELSEWHERE: u64 = 1;

/// Scrapes that fail before anything is judged.
const FAILED_SCRAPES: usize = 8;
/// The time over which they fail: longer than any age at which pickers usually take figures to be stale.
const STALE_AFTER: Duration = Duration::from_millis(1200);

fn plan(rates: &Rates) -> Result<Plan> {
    let question = Question::AtMost {
        null: 0.5,
        bad: 0.95,
    };
    Plan::new(question, rates.alpha, rates.power)
}

async fn metrics_gone(ctx: &Context) -> Result<Outcome> {
    let (model, pool) = Faults::find(&ctx.target)?;
    let (silent, others) = pool.endpoints.split_first().context("an endpoint")?;
    let plan = plan(&ctx.rates)?;
    for endpoint in &pool.endpoints {
        wait_until_idle(&ctx.http, endpoint, ctx.timeouts.drain).await?;
    }
    let client = ctx.client(Connections::KeepAlive)?;
    let interval = interval(ctx, &client, model, others.len()).await?;

    // The ballast of the silent endpoint needs its metrics to be measured out, so its place is filled while they are
    // frozen at what an idle endpoint says, and then they go.
    set_metrics_fault(ctx, silent, "frozen").await?;
    let (http, endpoint) = (ctx.http.clone(), silent.clone());
    ctx.undo("metrics of an endpoint", async move {
        control::change_settings(&http, &endpoint, &json!({"metrics_fault": "none"})).await
    });
    tokio::time::sleep(ctx.timeouts.metrics_settle).await;
    set_metrics_fault(ctx, silent, "status-404").await?;
    if !failed_scrapes(ctx, silent).await? {
        return Ok(Outcome::skip(format!(
            "nothing read the metrics of {} within {:?}, so that they mislead nobody",
            silent.name, ctx.timeouts.fill
        )));
    }

    let mut ballast = Vec::new();
    for endpoint in others {
        let load = Load::Waiting(WAITING_ELSEWHERE);
        ballast.push(load.put(ctx, endpoint, &model.name).await?);
    }
    let state = || async { control::state(&ctx.http, silent).await.ok() };
    let unseen = Ballast::waiting_by(ctx, silent, &model.name, WAITING_THERE, Source::Control);
    ballast.push(unseen.await?);
    tokio::time::sleep(ctx.timeouts.metrics_settle).await;
    let (mut rng, mut mix) = (ctx.rng("probes"), Mix::default());
    let requests = (0..plan.n).map(|_| {
        let request = mix.request(&model.name, 1, &mut rng);
        request.timeout(ctx.timeouts.case)
    });
    let sent = drive::open_loop(&client, interval, requests).await;
    tokio::time::sleep(ctx.timeouts.metrics_settle).await;
    let held = state()
        .await
        .is_some_and(|state| state.waiting >= WAITING_ELSEWHERE);
    set_metrics_fault(ctx, silent, "none").await?;
    for load in ballast {
        load.release().await?;
    }
    let mut findings = Findings::default();
    let mut exchanges = Vec::new();
    for task in sent {
        let exchange = task.await?;
        findings.add(expect::success("every probe", &exchange));
        exchanges.push(exchange);
    }
    let counts = served::by_endpoint(exchanges.iter());
    let hits = counts.get(&silent.name).copied().unwrap_or(0);
    let of = format!("share of {}, whose metrics are gone", silent.name);
    findings.add_statistic(plan.decide(of, hits, plan.n));
    let doubt = (!held).then(|| format!("the ballast of {} did not last", silent.name));
    Ok(findings.outcome_unless(
        format!("{} of {}", served::in_words(&counts), plan.n),
        doubt,
    ))
}

async fn set_metrics_fault(ctx: &Context, endpoint: &Endpoint, fault: &str) -> Result<()> {
    control::change_settings(&ctx.http, endpoint, &json!({ "metrics_fault": fault })).await
}

/// Waits until the picker has met the fault often enough, and for longer than pickers take figures to be fresh. Returns `false` if nothing
/// reads the metrics.
async fn failed_scrapes(ctx: &Context, endpoint: &Endpoint) -> Result<bool> {
    let since_us = scrapes::now_us();
    let what = format!(
        "endpoint {} is scraped {FAILED_SCRAPES} times and after {STALE_AFTER:?} without metrics",
        endpoint.name
    );
    let scraped = poll::until(what, ctx.timeouts.fill, poll::INTERVAL, || async {
        let scrapes = control::scrapes_us(&ctx.http, endpoint, since_us);
        have_failed(&scrapes.await.ok()?, since_us).then_some(())
    });
    if let Err(late) = scraped.await {
        let scrapes = control::scrapes_us(&ctx.http, endpoint, since_us).await?;
        return if scrapes.is_empty() {
            Ok(false)
        } else {
            Err(late.into())
        };
    }
    Ok(true)
}

/// Whether scrapes that all failed are enough for a picker to take the figures before them for stale.
fn have_failed(scrapes_us: &[u64], since_us: u64) -> bool {
    let last_us = scrapes_us.iter().max().copied().unwrap_or(since_us);
    let span = Duration::from_micros(last_us.saturating_sub(since_us));
    scrapes_us.len() >= FAILED_SCRAPES && span >= STALE_AFTER
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scrapes_have_failed_long_enough_when_they_are_many_and_the_last_one_is_late() {
        let every_50_ms =
            |count: u64| -> Vec<u64> { (1..=count).map(|n| 7 + n * 50_000).collect() };
        assert!(!have_failed(&[], 7));
        assert!(!have_failed(&every_50_ms(23), 7));
        assert!(have_failed(&every_50_ms(24), 7));
        // A picker that scrapes once in a second has met the fault twice.
        assert!(!have_failed(&[1_000_007, 2_000_007], 7));
    }
}
