//! Two flows of one priority: the backlog of one does not starve the other.

use anyhow::Result;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::{Decision, Effort};
use poolproof_cases::expect;
use poolproof_cases::need::{Find, HeldFairly};
use poolproof_model::picture::Picture;
use poolproof_model::verdict::{Findings, Outcome};
use poolproof_stats::rank;

use super::contention::{Class, SentIn, hold};

pub(super) const CASE: Case = Case {
    id: "priority/fairness",
    requirement: "When a flow has many requests held and another flow of the same priority comes later with few, the two take \
                  turns: the later flow does not wait until the backlog of the first is served.",
    level: Level::Must,
    source: "GIE v1.5.0, pkg/epp/framework/plugins/flowcontrol/fairness: round-robin-fairness-policy; llm-d/llm-d-router#1182",
    needs: &[HeldFairly::NEED],
    alpha_parts: 1,
    plan: |_, rates| {
        let arm = Effort::requests(BACKLOG + LATER).waits(1.0);
        Ok(arm.decides([Decision::NoOrder {
            sizes: [LATER, LATER],
            alpha: rates.alpha,
            deviating: DEVIATION,
        }]))
    },
    run: |ctx| Box::pin(fairness(ctx)),
};

/// Requests of the flow that is sent first, and of the one that is sent then.
const BACKLOG: usize = 240;
const LATER: usize = 80;
/// How often a request of the later flow goes before one of as many of the backlog where half of its requests wait until
/// the backlog is served: those of one API, for instance. With one queue for both flows, none does.
const DEVIATION: f64 = 0.2;

async fn fairness(ctx: &Context) -> Result<Outcome> {
    let (model, pool, classes) = HeldFairly::find(&ctx.target)?;
    let class = |name, requests| Class {
        flow: Some(name),
        ..Class::new(name, Some(classes.interactive), requests)
    };
    let flows = [class("backlog", BACKLOG), class("later", LATER)];
    let names = flows.map(|flow| flow.name);
    let held = hold(ctx, model, pool, flows, SentIn::Turn).await?;
    let mut findings = Findings::default();
    held.expect_served(names, &mut findings);
    let arrived = held.arrivals(ctx, &pool.endpoints).await?;
    let [mut backlog, later] = arrived.of(None);
    backlog.sort_by(f64::total_cmp);
    // While both flows have requests held, each of the later flow has one of the backlog beside it.
    let beside = &backlog[..backlog.len().min(later.len())];
    match rank::order(&later, beside) {
        Some(order) => {
            let n = later.len() + beside.len();
            let of = format!(
                "the later flow before the first {} of the backlog",
                beside.len()
            );
            findings.add_statistic(order.decide_none(of, n, ctx.rates.alpha, DEVIATION));
        }
        None => findings.add(expect::that(false, "both flows", "served", "one")),
    }
    arrived.show(names, &mut findings);
    findings.show(Picture::bars(
        "requests of the later flow among all that were served, by quarter",
        "requests",
        by_quarter(&backlog, &later),
    ));
    let summary = format!(
        "{LATER} requests took turns with a backlog of {BACKLOG} that came before; {}",
        held.shown
    );
    Ok(findings.outcome_unless(summary, held.doubt))
}

/// How many requests of the later flow were among each quarter of all, in the order in which endpoints got them.
fn by_quarter(backlog: &[f64], later: &[f64]) -> Vec<(String, f64)> {
    let mut all: Vec<(f64, bool)> = backlog.iter().map(|ms| (*ms, false)).collect();
    all.extend(later.iter().map(|ms| (*ms, true)));
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let quarters = all.chunks(all.len().div_ceil(4).max(1)).zip(1..);
    let counts = quarters.map(|(quarter, number)| {
        let later = quarter.iter().filter(|(_, is_later)| *is_later).count();
        (number.to_string(), later as f64)
    });
    counts.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_that_waits_for_the_backlog_is_in_the_last_quarter() {
        let backlog: Vec<f64> = (0..30).map(f64::from).collect();
        let counts = |later: &[f64]| -> Vec<f64> {
            let bars = by_quarter(&backlog, later);
            bars.into_iter().map(|(_, count)| count).collect()
        };
        let after: Vec<f64> = (30..40).map(f64::from).collect();
        assert_eq!(counts(&after), [0.0, 0.0, 0.0, 10.0]);
        let in_turn: Vec<f64> = (0..10).map(|n| f64::from(n) + 0.5).collect();
        assert_eq!(counts(&in_turn), [5.0, 5.0, 0.0, 0.0]);
    }
}
