//! No interactive request is refused while batch is admitted.

use anyhow::Result;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::Effort;
use poolproof_cases::expect;
use poolproof_cases::need::{Find, HeldByPriority};
use poolproof_client::Exchange;
use poolproof_model::verdict::{Findings, Outcome};

use super::contention::{Class, SentIn, hold};

pub(super) const CASE: Case = Case {
    id: "priority/interactive-admitted",
    requirement: "While the pool is saturated, no interactive request is refused if a batch request is admitted.",
    level: Level::Must,
    source: "GIE v1.5.0, InferenceObjective: lower priorities are shed first",
    needs: &[HeldByPriority::NEED],
    alpha_parts: 0,
    plan: |_, _| Ok(Effort::requests(2 * REQUESTS).waits(1.0)),
    run: |ctx| Box::pin(interactive_admitted(ctx)),
};

const REQUESTS: usize = 40;

async fn interactive_admitted(ctx: &Context) -> Result<Outcome> {
    let (model, pool, classes) = HeldByPriority::find(&ctx.target)?;
    let (interactive, batch) = (classes.interactive, classes.batch);
    let class = |name, objective| Class::new(name, Some(objective), REQUESTS);
    let classes = [class("interactive", interactive), class("batch", batch)];
    let held = hold(ctx, model, pool, classes, SentIn::AnyOrder).await?;
    let count = |class: &[Exchange], status: fn(u16) -> bool| {
        class
            .iter()
            .filter(|e| e.status.is_some_and(status))
            .count()
    };
    let refused = count(&held.first, |status| status >= 400);
    let admitted = count(&held.second, |status| status == 200) + held.lost[1];
    let mut findings = Findings::default();
    findings.add(expect::that(
        refused == 0 || admitted == 0,
        &format!("interactive requests refused while {admitted} of {REQUESTS} batch requests were admitted"),
        0,
        refused,
    ));
    let summary = format!(
        "{refused} interactive refused, {admitted} batch admitted; {}",
        held.shown
    );
    match held.doubt {
        // A refused request is not held: that is the finding itself.
        Some(doubt) if refused == 0 => Ok(Outcome::invalid(doubt)),
        _ => Ok(findings.outcome(summary)),
    }
}
