//! An endpoint that is taken out of its pool gets no more requests, and finishes those that it has.

use std::time::Duration;

use anyhow::Result;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::expect;
use poolproof_cases::need::{EndpointNames, Find, Need, PoolToLoad};
use poolproof_client::Exchange;
use poolproof_client::evidence::served;
use poolproof_model::change::{Change, Kind};
use poolproof_model::verdict::{Findings, Outcome};

use super::timeline::Timeline;
use super::{IN_FLIGHT, effort, expect_return, sample, until_steady, unwell};
use crate::none;
use crate::streams::{PACE_REQUESTS, Streams, Whole, under_way};

pub(super) const CASE: Case = Case {
    id: "faults/endpoint-removed",
    requirement: "An endpoint that is taken out of its pool gets no request any more, finishes the streams that it has, and gets \
                  requests again when it is put back.",
    level: Level::Must,
    source: "GIE v1.5.0, api/v1, InferencePool.spec.selector: the pods that belong to the pool; \
             docs/proposals/004: the picker names an endpoint of the pool",
    needs: &[
        PoolToLoad::NEED,
        EndpointNames::NEED,
        Need::change(Kind::Member),
    ],
    alpha_parts: 0,
    plan: |_, rates| {
        let plan = none::plan(none::SHARE, rates)?;
        Ok(effort(&plan, 1, PACE_REQUESTS + STREAMS).waits(2.0))
    },
    run: |ctx| Box::pin(endpoint_removed(ctx)),
};

const STREAMS: usize = 6;

async fn endpoint_removed(ctx: &Context) -> Result<Outcome> {
    let (model, _) = PoolToLoad::find(&ctx.target)?;
    let mut before = Vec::new();
    if let Some(outcome) = unwell(ctx, model, &mut before).await? {
        return Ok(outcome);
    }
    let streams = Streams::open(ctx, model, STREAMS).await?;
    let (_, removed) = under_way(ctx, model).await?;
    let mut timeline = Timeline::of_endpoint(&removed.name);
    timeline.add(&before);
    let member = |member| Change::Member {
        endpoint: removed.name.clone(),
        member,
    };
    let elsewhere = |served_by: Option<&str>| served_by.is_some_and(|it| it != removed.name);
    let mut findings = Findings::default();

    ctx.change(member(false)).await?;
    timeline.gone();
    let left = until_steady(ctx, model, &mut timeline, Duration::ZERO, |it| {
        elsewhere(served::endpoint_of(it))
    })
    .await?;
    findings.add(expect::that(
        left.took.is_some(),
        "requests once the endpoint is out",
        "served elsewhere",
        left.in_words(),
    ));
    // While it has streams, it may be the busiest, which is picked by no mistake either.
    let tokens = streams.tokens;
    let (streams, _) = streams.finish().await?;
    let whole = Whole::like(streams.iter(), tokens);
    timeline.add(&streams);
    let plan = none::plan(none::SHARE, &ctx.rates)?;
    let of = format!("share of requests at {} or lost after that", removed.name);
    let judge = |what: &str, exchange: &Exchange| {
        let served_by = served::endpoint_of(exchange);
        vec![
            expect::success(what, exchange),
            expect::that(
                elsewhere(served_by),
                what,
                "served elsewhere",
                served_by.unwrap_or("nobody"),
            ),
        ]
    };
    let serving = (IN_FLIGHT, ctx.timeouts.request);
    let exchanges = sample(ctx, model, (&plan, &of), serving, &mut findings, judge).await?;
    timeline.add(&exchanges);
    let own = streams
        .iter()
        .filter(|it| served::endpoint_of(it) == Some(&removed.name));
    let own = own.count();
    for stream in &streams {
        findings.add(whole.expect("stream that was open before", stream));
    }

    timeline.back();
    ctx.change(member(true)).await?;
    findings.note(format!("no request went to it {}", left.in_words()));
    expect_return(ctx, model, &removed.name, &mut timeline, &mut findings).await?;
    findings.show(timeline.picture());
    Ok(findings.outcome(format!(
        "{} requests elsewhere; {} streams whole, {own} of them its own; back in use",
        plan.n,
        streams.len()
    )))
}
