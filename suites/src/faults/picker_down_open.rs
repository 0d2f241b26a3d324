//! A pool that fails open is served while its endpoint picker is down.

use anyhow::Result;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::expect;
use poolproof_cases::need::{EndpointNames, Find, Need, PoolToLoad};
use poolproof_client::Exchange;
use poolproof_model::change::{Change, Kind};
use poolproof_model::verdict::{Findings, Outcome};

use super::timeline::Timeline;
use super::{IN_FLIGHT, effort, expect_served, sample, unwell};
use crate::none;

pub(super) const CASE: Case = Case {
    id: "faults/picker-down-open",
    requirement: "While the endpoint picker of a pool that fails open is down, each of its requests is served by an endpoint of \
                  the pool, from seconds after it went.",
    level: Level::Must,
    source: "GIE v1.5.0, api/v1, EndpointPickerRef.failureMode: FailOpen forwards the request to an endpoint of the \
             pool's; its own conformance test takes another pool's picker away",
    needs: &[
        PoolToLoad::NEED,
        EndpointNames::NEED,
        Need::change(Kind::Picker),
        Need::change(Kind::FailureMode),
    ],
    alpha_parts: 0,
    plan: |_, rates| {
        let plan = none::plan(none::SHARE, rates)?;
        Ok(effort(&plan, 1, 0).waits(1.0))
    },
    run: |ctx| Box::pin(picker_down_open(ctx)),
};

async fn picker_down_open(ctx: &Context) -> Result<Outcome> {
    let (model, pool) = PoolToLoad::find(&ctx.target)?;
    let mut findings = Findings::default();
    let mut timeline = Timeline::of_picker(&pool.name);
    let mut before = Vec::new();
    if let Some(outcome) = unwell(ctx, model, &mut before).await? {
        return Ok(outcome);
    }
    timeline.add(&before);
    ctx.change(Change::FailureMode {
        pool: pool.name.clone(),
        open: true,
    })
    .await?;
    ctx.change(Change::Picker {
        pool: pool.name.clone(),
        running: false,
    })
    .await?;
    timeline.gone();

    let what = "requests without a picker";
    let opened = expect_served(ctx, model, &mut timeline, &mut findings, what).await?;
    let plan = none::plan(none::SHARE, &ctx.rates)?;
    if opened.took.is_some() {
        let of = "share of requests without a picker that were not served by the pool";
        let judge = |what: &str, exchange: &Exchange| {
            vec![
                expect::success(what, exchange),
                expect::served_by(what, exchange, &ctx.target, model),
            ]
        };
        let serving = (IN_FLIGHT, ctx.timeouts.refusal);
        let served = sample(ctx, model, (&plan, of), serving, &mut findings, judge).await?;
        timeline.add(&served);
    }
    findings.show(timeline.picture());
    findings.note(format!("served without a picker {}", opened.in_words()));
    Ok(findings.outcome(format!(
        "{} requests served by endpoints of the pool, without a picker; before, {} were not in the time of {:?} for the change",
        plan.n,
        opened.wrong.len(),
        ctx.timeouts.recovery
    )))
}
