//! With both classes held, interactive goes before batch.

use std::time::Duration;

use anyhow::{Context as _, Result};
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::{Decision, Effort};
use poolproof_cases::need::{Find, HeldByPriority};
use poolproof_client::{Connections, Exchange};
use poolproof_model::target::Model;
use poolproof_model::verdict::{Findings, Outcome};
use poolproof_stats::{interval, rank};

use super::contention::{Class, EXPECTED, Held, SentIn, hold};
use crate::mix::{Kind, Mix, Shares};

pub(super) const CASE: Case = Case {
    id: "priority/held-order",
    requirement: "When interactive and batch requests are both held, interactive ones reach the endpoints before batch ones, \
                  with either API, streamed or not. \
                  (Control: two classes of one priority show no order.)",
    level: Level::Must,
    source: "GIE v1.5.0, pkg/epp/flowcontrol: bands of higher priority are dispatched first",
    needs: &[HeldByPriority::NEED],
    alpha_parts: 2,
    plan: |_, rates| {
        let arms = Effort::requests(2 * CONTROL + 2 * INTERACTIVE + BATCH).waits(2.0);
        let alpha = rates.alpha / ARMS;
        let mut decisions = vec![Decision::NoOrder {
            sizes: [CONTROL, CONTROL],
            alpha,
            deviating: CONTROL_DEVIATION,
        }];
        let shares = Shares::of(alpha);
        let ordered = |part, alpha| Decision::FirstBelow {
            sizes: [INTERACTIVE / part, BATCH / part],
            alpha,
            null: EXPECTED,
        };
        decisions.push(ordered(1, shares.whole));
        let kinds = Kind::ALL;
        decisions.extend(kinds.map(|_| ordered(kinds.len(), shares.kind)));
        Ok(arms.decides(decisions))
    },
    run: |ctx| Box::pin(held_order(ctx)),
};

/// The two arms.
const ARMS: f64 = 2.0;
/// As many as the 95th percentile of their time to first token takes.
const INTERACTIVE: usize = 200;
/// As many as show, beside those, that one kind of request has no order.
const BATCH: usize = 100;
/// An order that the control arm must be able to see: what the test of the two classes would take for an order. That takes
/// more requests than seeing a nearly complete order does.
const CONTROL_DEVIATION: f64 = 0.75;
const CONTROL: usize = 110;

async fn held_order(ctx: &Context) -> Result<Outcome> {
    let (model, pool, classes) = HeldByPriority::find(&ctx.target)?;
    let (interactive, batch) = (classes.interactive, classes.batch);
    let mut findings = Findings::default();

    let same = ["first", "second"].map(|name| Class::new(name, None, CONTROL));
    let control = hold(ctx, model, pool, same, SentIn::AnyOrder).await?;
    if let Some(doubt) = control.doubt {
        return Ok(Outcome::invalid(format!("control arm: {doubt}")));
    }
    let arrived = control.arrivals(ctx, &pool.endpoints).await?;
    let [one, other] = arrived.of(None);
    let order = rank::order(&one, &other).context("control arm: nothing arrived")?;
    let n = one.len() + other.len();
    let no_order = order.decide_none("control arm", n, ctx.rates.alpha / ARMS, CONTROL_DEVIATION);
    if !no_order.holds() {
        return Ok(Outcome::invalid(format!(
            "two classes of one priority differ: {no_order}"
        )));
    }
    findings.note(format!("control arm of one priority: {no_order}"));

    let alone = alone(ctx, model, interactive).await?;
    let classes = [
        Class::new("interactive", Some(interactive), INTERACTIVE),
        Class::new("batch", Some(batch), BATCH),
    ];
    let held = hold(ctx, model, pool, classes, SentIn::AnyOrder).await?;
    let names = classes.map(|class| class.name);
    held.expect_served(names, &mut findings);
    let arrived = held.arrivals(ctx, &pool.endpoints).await?;
    let shares = Shares::of(ctx.rates.alpha / ARMS);
    arrived.expect_in_order(shares.whole, names, None, &mut findings);
    for kind in Kind::ALL {
        arrived.expect_in_order(shares.kind, names, Some(kind), &mut findings);
    }
    arrived.show(names, &mut findings);
    report_ttft(&held, &alone, &mut findings);
    let summary = format!(
        "{INTERACTIVE} interactive before {BATCH} batch; {}",
        held.shown
    );
    let refused = held
        .first
        .iter()
        .any(|it| it.status.is_some_and(|s| s >= 400));
    match held.doubt {
        // What was not held has no order to speak of. But a refused request is not held: that is a finding of its own.
        Some(doubt) if !refused => Ok(Outcome::invalid(doubt)),
        _ => Ok(findings.outcome(summary)),
    }
}

/// Interactive requests one after the other on an idle stack.
async fn alone(ctx: &Context, model: &Model, objective: &str) -> Result<Vec<Exchange>> {
    let client = ctx.client(Connections::KeepAlive)?;
    let (mut rng, mut mix) = (ctx.rng("alone"), Mix::default());
    let mut exchanges = Vec::new();
    for _ in 0..INTERACTIVE {
        let kind = mix.kind(&mut rng);
        let request = super::request(ctx, &model.name, kind, Some(objective), &mut rng);
        exchanges.push(client.send(request).await);
    }
    Ok(exchanges)
}

/// Notes what contention costs interactive requests, from when the ballast was taken away: before that, it is ours. A figure,
/// not a demand: the real endpoint picker's ratio is 2 to 7.
fn report_ttft(held: &Held, alone: &[Exchange], findings: &mut Findings) {
    let after_release = |exchange: &Exchange| {
        let from = exchange.intended_at.max(held.released_at);
        Some(exchange.first_byte_at?.saturating_duration_since(from))
    };
    let p95 = |times: &mut dyn Iterator<Item = Duration>| {
        let times_ms: Vec<f64> = times.map(|time| time.as_secs_f64() * 1e3).collect();
        interval::quantile(&times_ms, 0.95)
    };
    let held = p95(&mut held.first.iter().filter_map(after_release));
    let alone = p95(&mut alone.iter().filter_map(Exchange::ttft));
    findings.note(match (held, alone) {
        (Some(held), Some(alone)) => format!(
            "interactive TTFT p95: {held:.1} ms once endpoints were free, {alone:.1} ms uncontended, ratio {:.1} (not judged)",
            held.value / alone.value
        ),
        _ => format!("interactive TTFT p95: not to be had from fewer than {INTERACTIVE} answers"),
    });
}
