//! A pool that fails closed refuses its requests while its endpoint picker is down.

use anyhow::Result;
use poolproof_cases::ballast::wait_until_idle;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::expect;
use poolproof_cases::need::{Find, Need, PoolToLoad};
use poolproof_client::Exchange;
use poolproof_client::evidence::endpoint;
use poolproof_model::change::{Change, Kind};
use poolproof_model::target::Pool;
use poolproof_model::verdict::{Findings, Outcome};

use super::timeline::Timeline;
use super::{IN_FLIGHT, REFUSED_IN_FLIGHT, effort, expect_served, sample, unwell};
use crate::none;

pub(super) const CASE: Case = Case {
    id: "faults/picker-down",
    requirement: "While the endpoint picker of a pool that fails closed is down, each of its requests gets a 5xx and \
                  reaches no endpoint, and other models are served; when it is back, its requests are served again.",
    level: Level::Must,
    source: "GIE v1.5.0, api/v1, EndpointPickerRef.failureMode: FailClose, the default, drops the request",
    needs: &[PoolToLoad::NEED, Need::change(Kind::Picker)],
    alpha_parts: 0,
    plan: |_, rates| {
        let plan = none::plan(none::SHARE, rates)?;
        Ok(effort(&plan, 3, 0).waits(1.0))
    },
    run: |ctx| Box::pin(picker_down(ctx)),
};

async fn picker_down(ctx: &Context) -> Result<Outcome> {
    let (model, pool) = PoolToLoad::find(&ctx.target)?;
    let other = ctx.target.models.iter().find(|it| it.name != model.name);
    let picker = |running| Change::Picker {
        pool: pool.name.clone(),
        running,
    };
    let mut findings = Findings::default();
    let mut timeline = Timeline::of_picker(&pool.name);
    let mut before = Vec::new();
    if let Some(outcome) = unwell(ctx, model, &mut before).await? {
        return Ok(outcome);
    }
    timeline.add(&before);
    let served_before = served(ctx, pool).await?;
    ctx.change(picker(false)).await?;
    timeline.gone();

    let plan = none::plan(none::SHARE, &ctx.rates)?;
    let refusing = (REFUSED_IN_FLIGHT, ctx.timeouts.refusal);
    let of = "share of requests without a picker that were not refused";
    let judge = |what: &str, exchange: &Exchange| {
        vec![
            expect::statuses(what, exchange, 500..=599),
            expect::routed_nowhere(what, exchange),
        ]
    };
    let refused = sample(ctx, model, (&plan, of), refusing, &mut findings, judge).await?;
    timeline.add(&refused);
    let latencies = refused
        .iter()
        .map(|exchange| exchange.latency().as_millis());
    let slowest_ms = latencies.max().unwrap_or(0);
    if let Some(other) = other {
        let of = "share of requests for another model that were not served meanwhile";
        let judge = |what: &str, exchange: &Exchange| vec![expect::success(what, exchange)];
        let serving = (IN_FLIGHT, ctx.timeouts.refusal);
        let others = sample(ctx, other, (&plan, of), serving, &mut findings, judge).await?;
        timeline.add_other(&others);
    }
    let reached = served(ctx, pool).await? - served_before;
    findings.add(expect::that(
        reached == 0.0,
        "requests that endpoints of the pool served meanwhile",
        0,
        reached,
    ));

    timeline.back();
    ctx.change(picker(true)).await?;
    let what = "requests once the picker is back";
    let recovery = expect_served(ctx, model, &mut timeline, &mut findings, what).await?;
    if recovery.took.is_some() {
        let of = "share of requests that were lost once the picker was back";
        let judge = |what: &str, exchange: &Exchange| vec![expect::success(what, exchange)];
        let serving = (IN_FLIGHT, ctx.timeouts.request);
        let again = sample(ctx, model, (&plan, of), serving, &mut findings, judge).await?;
        timeline.add(&again);
    }
    findings.note(format!("the slowest refusal took {slowest_ms} ms"));
    findings.show(timeline.picture());
    findings.note(format!("served again {}", recovery.in_words()));
    let n = plan.n;
    let others = match other {
        None => "no other model to ask for meanwhile".to_owned(),
        Some(_) => format!("{n} of another model served meanwhile"),
    };
    Ok(findings.outcome(format!(
        "{n} requests refused, none of them counted as served by the pool's endpoints; {others}; {n} served again"
    )))
}

/// What the endpoints of a pool have served, once they are idle: a model server may work on for clients that have left.
async fn served(ctx: &Context, pool: &Pool) -> Result<f64> {
    let mut served = 0.0;
    for endpoint in &pool.endpoints {
        wait_until_idle(&ctx.http, endpoint, ctx.timeouts.drain).await?;
        served += endpoint::read(&ctx.http, endpoint).await?.served_total;
    }
    Ok(served)
}
