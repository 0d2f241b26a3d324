//! The judgement that the cases of this suite share: busy endpoints get (almost) nothing.

use anyhow::Result;
use poolproof_harness::context::Context;
use poolproof_harness::stats::binomial::{Plan, Question};
use poolproof_harness::stats::{ALPHA, POWER};
use poolproof_harness::target::{Model, Pool};
use poolproof_harness::verdict::{Findings, Outcome};

use crate::loaded::{Load, Probes};

/// Requests that wait at a busy endpoint: load that a picker sees (running requests are invisible to it), below the
/// saturation of the pool, from which on a picker with flow control holds all probes.
pub(super) const WAITING: u64 = 3;

/// The share that busy endpoints may get, and the one that must be refused.
pub(super) const ALMOST_NOTHING: Question = Question::AtMost {
    null: 0.02,
    bad: 0.08,
};

/// Makes endpoints busy and judges what they get.
pub(super) async fn judge(
    ctx: &Context,
    model: &Model,
    pool: &Pool,
    busy: &[&str],
    load: Load,
) -> Result<Outcome> {
    let plan = Plan::new(ALMOST_NOTHING, ALPHA, POWER)?;
    let mut probes = Probes::send(ctx, model, busy, load, plan.n).await?;
    let mut findings = Findings::default();
    let of = format!("share of busy {}", busy.join(" and "));
    probes.judge(pool, &plan, of, &mut findings);
    let summary = format!("{} busy: {}", busy.join(" and "), probes.summary());
    probes.conclude(findings, summary)
}
