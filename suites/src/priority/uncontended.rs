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

use crate::mix::{Kind, Mix, Shares};

pub(super) const CASE: Case = Case {
    id: "priority/uncontended",
    requirement: "On an idle pool, interactive and batch requests are served alike.",
    level: Level::Must,
    source: "GIE v1.5.0, pkg/epp/flowcontrol: priorities order what is queued, and nothing else",
    needs: &[HeldByPriority::NEED],
    alpha_parts: 1,
    plan: |_, rates| {
        let alpha = Shares::of(rates.alpha);
        let mut decisions = vec![Decision::NoOrder {
            sizes: [REQUESTS; 2],
            alpha: alpha.whole,
            deviating: DEVIATION,
        }];
        let kinds = Kind::ALL;
        decisions.extend(kinds.map(|_| Decision::NoOrder {
            sizes: [REQUESTS / kinds.len(); 2],
            alpha: alpha.kind,
            deviating: KIND_DEVIATION,
        }));
        Ok(Effort::requests(2 * REQUESTS).decides(decisions))
    },
    run: |ctx| Box::pin(uncontended(ctx)),
};

/// Requests of each class.
const REQUESTS: usize = 160;
/// How often one class would be faster if priority made a difference; and if it made one to every request of a kind.
const DEVIATION: f64 = 0.75;
const KIND_DEVIATION: f64 = 0.98;
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
    let mut mix = Mix::default();
    let mut latencies_ms = [Vec::new(), Vec::new()];
    for _ in 0..REQUESTS {
        let mut pair = [0, 1];
        pair.shuffle(&mut rng);
        let kind = mix.kind(&mut rng);
        for class in pair {
            let (objective, client) = &classes[class];
            let request = super::request(ctx, &model.name, kind, Some(objective), &mut rng);
            let exchange = client.send(request.timeout(ctx.timeouts.request)).await;
            findings.add(expect::success(
                &format!("every {objective} request"),
                &exchange,
            ));
            latencies_ms[class].push((kind, exchange.latency().as_secs_f64() * 1e3));
        }
    }
    let of = |kind: Option<Kind>| {
        latencies_ms.each_ref().map(|class| {
            let own = class
                .iter()
                .filter(|(it, _)| kind.is_none_or(|kind| kind == *it));
            own.map(|(_, ms)| *ms).collect::<Vec<f64>>()
        })
    };
    let alpha = Shares::of(ctx.rates.alpha);
    let summary = judge(&of(None), None, alpha.whole, &mut findings)?;
    for kind in Kind::ALL {
        judge(&of(Some(kind)), Some(kind), alpha.kind, &mut findings)?;
    }
    Ok(findings.outcome(summary))
}

/// Adds whether the latencies of the classes differ, of one kind of request or of all. Says what they are.
fn judge(
    latencies_ms: &[Vec<f64>; 2],
    kind: Option<Kind>,
    alpha: f64,
    findings: &mut Findings,
) -> Result<String> {
    let [first, second] = latencies_ms;
    let (of_kind, deviation) = match kind {
        Some(kind) => (format!(", of {}", kind.in_words()), KIND_DEVIATION),
        None => (String::new(), DEVIATION),
    };
    let order = rank::order(first, second).context("no latencies")?;
    let what = format!("interactive faster than batch{of_kind}");
    let n = first.len() + second.len();
    let faster = order.decide_none(what, n, alpha, deviation);
    let shift = interval::shift(first, second).context("no latencies")?;
    let typical = interval::quantile(first, 0.5).context("too few latencies for a median")?;
    let matters_ms = (typical.value * SHIFT_SHARE).max(SHIFT_MIN.as_secs_f64() * 1e3);
    match shift.value.abs() > matters_ms {
        true => findings.add_statistic(faster),
        false => findings.note(format!(
            "batch takes {shift:.2} ms more (Hodges-Lehmann, 95 %){of_kind}, of {matters_ms:.1} ms that would matter; {faster}"
        )),
    }
    Ok(format!(
        "interactive takes {typical:.1} ms, batch {shift:.2} ms more, {} requests each",
        first.len()
    ))
}
