//! An objective whose priority is edited: what comes afterwards is held by the new one, and nothing is restarted for it.

use std::time::Instant;

use anyhow::Result;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::{Decision, Effort};
use poolproof_cases::need::{Find, HeldByPriority, Need};
use poolproof_model::change::{Change, Kind};
use poolproof_model::verdict::{Findings, Outcome};

use super::contention::{Class, EXPECTED, SentIn, hold};

pub(super) const CASE: Case = Case {
    id: "priority/objective-edited",
    requirement: "When the priority of the batch objective is raised above that of the interactive one, held batch requests reach the \
                  endpoints before interactive ones within seconds, without a restart. (Control: before, they do so after them.)",
    level: Level::Must,
    source: "GIE v1.5.0, apix/v1alpha2, InferenceObjectiveSpec.priority: higher is always served first; \
             pkg/epp/controller/inferenceobjective_reconciler.go: an update is taken up as it comes",
    needs: &[HeldByPriority::NEED, Need::change(Kind::Objective)],
    alpha_parts: 1,
    plan: |_, rates| {
        let arms = Effort::requests(2 * ROUND).waits(2.0);
        let most = ROUND * (1 + ROUNDS_MAX);
        Ok(arms.at_most(most as u64).decides([Decision::FirstBelow {
            sizes: [REQUESTS, REQUESTS],
            alpha: rates.alpha,
            null: EXPECTED,
        }]))
    },
    run: |ctx| Box::pin(objective_edited(ctx)),
};

/// Requests of each class.
const REQUESTS: usize = 100;
const ROUND: usize = 2 * REQUESTS;
/// Rounds of contention after the edit, at most, whatever time that is.
const ROUNDS_MAX: usize = 20;
/// By how much batch is above interactive then.
const RAISED_ABOVE: i32 = 10;

async fn objective_edited(ctx: &Context) -> Result<Outcome> {
    let (model, pool, classes) = HeldByPriority::find(&ctx.target)?;
    let (interactive, batch) = (classes.interactive, classes.batch);
    let class = |name, objective| Class::new(name, Some(objective), REQUESTS);
    let (first, second) = (class("interactive", interactive), class("batch", batch));
    let mut findings = Findings::default();

    let control = hold(ctx, model, pool, [first, second], SentIn::AnyOrder).await?;
    if let Some(doubt) = control.doubt {
        return Ok(Outcome::invalid(format!("before the edit: {doubt}")));
    }
    let arrived = control.arrivals(ctx, &pool.endpoints).await?;
    match arrived.in_order(ctx.rates.alpha, [first.name, second.name], None) {
        Some(order) if order.holds() => findings.note(format!("before the edit, {order}")),
        Some(order) => return Ok(Outcome::invalid(format!("before the edit, {order}"))),
        None => return Ok(Outcome::invalid("before the edit, a class was not served")),
    }

    ctx.change(Change::Objective {
        objective: batch.to_owned(),
        priority: classes.interactive_priority.saturating_add(RAISED_ABOVE),
    })
    .await?;
    let edited_at = Instant::now();
    let names = [second.name, first.name];
    let mut round = 0;
    loop {
        round += 1;
        let after = edited_at.elapsed();
        let held = hold(ctx, model, pool, [second, first], SentIn::AnyOrder).await?;
        if let Some(doubt) = held.doubt {
            return Ok(Outcome::invalid(doubt));
        }
        held.expect_served(names, &mut findings);
        let arrived = held.arrivals(ctx, &pool.endpoints).await?;
        let order = arrived.in_order(ctx.rates.alpha, names, None);
        let followed = order.is_some_and(|order| order.holds());
        let is_over = round == ROUNDS_MAX || edited_at.elapsed() > ctx.timeouts.recovery;
        if followed || is_over || findings.failed() {
            arrived.expect_in_order(ctx.rates.alpha, names, None, &mut findings);
            arrived.show(names, &mut findings);
            return Ok(findings.outcome(format!(
                "batch before interactive, held from {} ms after the edit; {}",
                after.as_millis(),
                held.shown
            )));
        }
    }
}
