//! After the interactive load ends, batch is served, and none is lost.

use anyhow::Result;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::Effort;
use poolproof_cases::expect;
use poolproof_cases::need::{Find, HeldByPriority};
use poolproof_model::verdict::{Findings, Outcome};

use super::contention::{Class, SentIn, hold};

pub(super) const CASE: Case = Case {
    id: "priority/batch-served-after",
    requirement: "Batch requests that interactive ones went before are all served once the interactive load ends.",
    level: Level::Must,
    source: "GIE v1.5.0, pkg/epp/flowcontrol: what is queued is dispatched, or its client gets an error",
    needs: &[HeldByPriority::NEED],
    alpha_parts: 0,
    plan: |_, _| Ok(Effort::requests(INTERACTIVE + BATCH).waits(1.0)),
    run: |ctx| Box::pin(batch_served_after(ctx)),
};

const INTERACTIVE: usize = 60;
const BATCH: usize = 40;

async fn batch_served_after(ctx: &Context) -> Result<Outcome> {
    let (model, pool, classes) = HeldByPriority::find(&ctx.target)?;
    let (interactive, batch) = (classes.interactive, classes.batch);
    let classes = [
        Class::new("interactive", Some(interactive), INTERACTIVE),
        Class::new("batch", Some(batch), BATCH),
    ];
    let held = hold(ctx, model, pool, classes, SentIn::AnyOrder).await?;
    let mut findings = Findings::default();
    for exchange in &held.second {
        findings.add(expect::success("every batch request", exchange));
    }
    findings.add(expect::that(
        held.lost[1] == 0,
        &format!(
            "batch requests without an answer when nothing had moved for {:?}",
            ctx.timeouts.stall
        ),
        0,
        held.lost[1],
    ));
    let summary = format!("{BATCH} of {BATCH} batch requests served; {}", held.shown);
    match held.doubt {
        Some(doubt) => Ok(Outcome::invalid(doubt)),
        None => Ok(findings.outcome(summary)),
    }
}
