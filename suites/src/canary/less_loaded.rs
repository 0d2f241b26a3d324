//! Inside each version's pool the less-loaded endpoint still wins.

use anyhow::{Context as _, Result};
use poolproof_harness::case::{Case, Level, Need};
use poolproof_harness::context::Context;
use poolproof_harness::stats::binomial::{Plan, Question, trials_for};
use poolproof_harness::stats::{ALPHA, POWER};
use poolproof_harness::verdict::{Findings, Outcome};

use crate::loaded::{Load, Probes};

use super::split;

pub(super) const CASE: Case = Case {
    id: "canary/less-loaded",
    requirement: "Inside the pool of each version, an endpoint with a queue gets (almost) nothing while another has none.",
    level: Level::Must,
    source: "GIE v1.5.0, queue-scorer: P/scheduling/scorer/queuedepth",
    needs: &[Need::CanaryToLoad],
    run: |ctx| Box::pin(less_loaded(ctx)),
};

/// Requests that wait at the busy endpoint of each pool.
const WAITING: u64 = 3;

async fn less_loaded(ctx: &Context) -> Result<Outcome> {
    let model = ctx.target.canary().context("a canary")?;
    // The share of a picker that is blind among two endpoints is a half; the split leaves the lightest pool few picks.
    let question = Question::AtMost {
        null: 0.02,
        bad: 0.30,
    };
    let plan = Plan::new(question, ALPHA, POWER)?;
    let (_, lightest) = split::judged(model)?;
    let wanted = trials_for(plan.n, lightest, ALPHA)?;
    let busy: Vec<&str> = model
        .weighted_pools()
        .filter_map(|pool| pool.endpoints.first())
        .map(|endpoint| endpoint.name.as_str())
        .collect();
    let mut probes = Probes::send(ctx, model, &busy, Load::Waiting(WAITING), wanted).await?;
    let mut findings = Findings::default();
    for pool in model.weighted_pools() {
        let of = format!("share of the busy endpoint of {}", pool.name);
        let (_, picks) = probes.judge(pool, &plan, of, &mut findings);
        if picks < plan.n {
            let reason = format!("{picks} picks in {}, {} are needed", pool.name, plan.n);
            return Ok(Outcome::inconclusive(reason));
        }
    }
    probes.conclude(
        findings,
        format!("{} busy: {}", busy.join(" and "), probes.summary()),
    )
}
