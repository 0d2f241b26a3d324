//! Without contention, priority changes nothing.

use std::time::Duration;

use anyhow::{Context as _, Result};
use poolproof_cases::ballast::wait_until_idle;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::{Decision, Effort};
use poolproof_cases::expect;
use poolproof_cases::need::{Find, HeldByPriority};
use poolproof_client::Connections;
use poolproof_model::verdict::{Findings, Outcome};
use poolproof_stats::{interval, rank};
use rand::seq::SliceRandom;

pub(super) const CASE: Case = Case {
    id: "priority/uncontended",
    requirement: "On an idle pool, interactive and batch requests are served alike.",
    level: Level::Must,
    source: "GIE v1.5.0, pkg/epp/flowcontrol: priorities order what is queued, and nothing else",
    needs: &[HeldByPriority::NEED],
    alpha_parts: 1,
    plan: |_, rates| {
        Ok(Effort::requests(2 * REQUESTS).decides([Decision::NoOrder {
            sizes: [REQUESTS, REQUESTS],
            alpha: rates.alpha,
            deviating: DEVIATION,
        }]))
    },
    run: |ctx| Box::pin(uncontended(ctx)),
};

/// Requests of each class.
const REQUESTS: usize = 120;
/// How often one class would be faster if priority made a difference.
const DEVIATION: f64 = 0.75;
/// A shift below both of these matters to nobody.
const SHIFT_SHARE: f64 = 0.2;
const SHIFT_MIN: Duration = Duration::from_millis(2);

async fn uncontended(ctx: &Context) -> Result<Outcome> {
    let (model, pool, classes) = HeldByPriority::find(&ctx.target)?;
    let (interactive, batch) = (classes.interactive, classes.batch);
    for endpoint in &pool.endpoints {
        wait_until_idle(&ctx.http, endpoint, ctx.timeouts.drain).await?;
    }
    let clients = [(); 2].map(|()| ctx.client(Connections::KeepAlive));
    let [first, second] = clients;
    let classes = [(interactive, first?), (batch, second?)];
    let mut rng = ctx.rng("order");
    let mut findings = Findings::default();
    let mut latencies_ms = [Vec::new(), Vec::new()];
    for _ in 0..REQUESTS {
        let mut pair = [0, 1];
        pair.shuffle(&mut rng);
        for class in pair {
            let (objective, client) = &classes[class];
            let request = super::request(ctx, &model.name, Some(objective), &mut rng);
            let exchange = client.send(request.timeout(ctx.timeouts.request)).await;
            findings.add(expect::success(
                &format!("every {objective} request"),
                &exchange,
            ));
            latencies_ms[class].push(exchange.latency().as_secs_f64() * 1e3);
        }
    }
    let order = rank::order(&latencies_ms[0], &latencies_ms[1]).context("no latencies")?;
    let faster = order.decide_none(
        "interactive faster than batch",
        2 * REQUESTS,
        ctx.rates.alpha,
        DEVIATION,
    );
    let [first, second] = &latencies_ms;
    let shift = interval::shift(first, second).context("no latencies")?;
    let typical = interval::quantile(first, 0.5).context("too few latencies for a median")?;
    let matters_ms = (typical.value * SHIFT_SHARE).max(SHIFT_MIN.as_secs_f64() * 1e3);
    let summary = format!(
        "interactive takes {typical:.1} ms, batch {shift:.2} ms more, {REQUESTS} requests each"
    );
    match shift.value.abs() > matters_ms {
        true => findings.add_statistic(faster),
        false => findings.note(format!(
            "batch takes {shift:.2} ms more (Hodges-Lehmann, 95 %), of {matters_ms:.1} ms that would matter; {faster}"
        )),
    }
    Ok(findings.outcome(summary))
}
