//! Each endpoint of a pool is busy in turn: a picker that sees the load of some only is found.

use anyhow::{Context as _, Result};
use poolproof_harness::case::{Case, Level, Need};
use poolproof_harness::context::Context;
use poolproof_harness::stats::binomial::{Plan, Question};
use poolproof_harness::stats::{ALPHA, POWER};
use poolproof_harness::verdict::{Findings, Outcome, Verdict};

use super::busy::WAITING;
use crate::loaded::{Load, Probes};

pub(super) const CASE: Case = Case {
    id: "distribution/each-in-turn",
    requirement: "Whichever endpoint of a pool has a queue, it gets (almost) nothing while the others have none.",
    level: Level::Must,
    source: "GIE v1.5.0, queue-scorer: P/scheduling/scorer/queuedepth",
    needs: &[Need::PoolToLoad],
    run: |ctx| Box::pin(each_in_turn(ctx)),
};

async fn each_in_turn(ctx: &Context) -> Result<Outcome> {
    let (model, pool) = ctx.target.pool_to_load().context("a pool to load")?;
    // A picker that is blind to one endpoint gives it an equal share of the probes.
    let question = Question::AtMost {
        null: 0.02,
        bad: (1.0 / pool.endpoints.len() as f64).min(0.25),
    };
    let plan = Plan::new(question, ALPHA / pool.endpoints.len() as f64, POWER)?;
    let mut all = Outcome::pass("");
    let mut summaries = Vec::new();
    for endpoint in &pool.endpoints {
        let busy = [endpoint.name.as_str()];
        let load = Load::Waiting(WAITING);
        let mut probes = Probes::send(ctx, model, &busy, load, plan.n).await?;
        let mut findings = Findings::default();
        let of = format!("share of busy {}", endpoint.name);
        let (hits, picks) = probes.judge(pool, &plan, of, &mut findings);
        let one = probes.conclude(findings, format!("{hits} of {picks}"))?;
        summaries.push(format!("{} {}", endpoint.name, one.summary));
        if one.verdict != Verdict::Pass && all.verdict != Verdict::Fail {
            all.verdict = one.verdict;
        }
        all.mismatches.extend(one.mismatches);
        all.statistics.extend(one.statistics);
        all.evidence.extend(one.evidence);
    }
    all.summary = format!("busy in turn: {}", summaries.join("; "));
    Ok(all)
}
