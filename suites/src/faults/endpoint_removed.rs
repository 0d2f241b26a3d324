//! An endpoint that is taken out of its pool gets no more requests, and finishes those that it has.

use anyhow::Result;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::Effort;
use poolproof_cases::expect;
use poolproof_cases::need::{EndpointNames, Find, Need, PoolToLoad};
use poolproof_client::evidence::served;
use poolproof_client::{Connections, drive};
use poolproof_model::change::{Change, Kind};
use poolproof_model::verdict::{Findings, Outcome};

use super::timeline::Timeline;
use super::{ROUNDS_REQUESTS_MAX, STEADY_REQUESTS, expect_return, requests, until_steady};
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
    plan: |_, _| {
        let fixed = PACE_REQUESTS + STREAMS + REQUESTS;
        let most = fixed + 2 * ROUNDS_REQUESTS_MAX;
        let effort = Effort::requests(fixed + 2 * STEADY_REQUESTS);
        Ok(effort.at_most(most as u64).waits(2.0))
    },
    run: |ctx| Box::pin(endpoint_removed(ctx)),
};

const STREAMS: usize = 6;
/// Requests after the picker has shown that it knows; so many at the other endpoints by chance are 3 in 100 billion where one
/// of three is still picked from.
const REQUESTS: usize = 60;
const IN_FLIGHT: usize = 4;

async fn endpoint_removed(ctx: &Context) -> Result<Outcome> {
    let (model, _) = PoolToLoad::find(&ctx.target)?;
    let streams = Streams::open(ctx, model, STREAMS).await?;
    let (_, removed) = under_way(ctx, model).await?;
    let mut timeline = Timeline::of_endpoint(&removed.name);
    let member = |member| Change::Member {
        endpoint: removed.name.clone(),
        member,
    };
    let elsewhere = |served_by: Option<&str>| served_by.is_some_and(|it| it != removed.name);
    let mut findings = Findings::default();

    ctx.change(member(false)).await?;
    timeline.gone();
    let left = until_steady(ctx, model, &mut timeline, |it| {
        elsewhere(served::endpoint_of(it))
    })
    .await?;
    findings.add(expect::that(
        left.took.is_some(),
        "requests once the endpoint is out",
        "served elsewhere",
        left.in_words(),
    ));
    let client = ctx.client(Connections::KeepAlive)?;
    let mut rng = ctx.rng("prompts");
    let requests = requests(model, REQUESTS, ctx.timeouts.request, &mut rng);
    let exchanges = drive::closed_loop(&client, IN_FLIGHT, requests).await;
    timeline.add(&exchanges);
    for exchange in exchanges {
        let what = format!("request while {} is out", removed.name);
        let served_by = served::endpoint_of(&exchange);
        findings.add(expect::success(&what, &exchange));
        findings.add(expect::that(
            elsewhere(served_by),
            &what,
            "served elsewhere",
            served_by.unwrap_or("nobody"),
        ));
    }
    let tokens = streams.tokens;
    let (streams, _) = streams.finish().await?;
    let whole = Whole::like(streams.iter(), tokens);
    timeline.add(&streams);
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
        "{REQUESTS} requests elsewhere; {} streams whole, {own} of them its own; back in use",
        streams.len()
    )))
}
