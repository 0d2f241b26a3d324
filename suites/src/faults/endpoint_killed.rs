//! An endpoint that dies: its streams are seen to be broken, the others are whole, and requests find their way round it.

use std::time::Instant;

use anyhow::Result;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::expect;
use poolproof_cases::need::{EndpointNames, Find, Need, PoolToLoad};
use poolproof_client::evidence::served;
use poolproof_client::{Ending, Exchange};
use poolproof_model::change::{Change, Kind};
use poolproof_model::verdict::{Findings, Outcome};

use super::timeline::Timeline;
use super::{
    IN_FLIGHT, TRUSTED, TRUSTED_REQUESTS, effort, expect_return, sample, until_steady, unwell,
};
use crate::none;
use crate::streams::{PACE_REQUESTS, Streams, Whole, under_way};

pub(super) const CASE: Case = Case {
    id: "faults/endpoint-killed",
    requirement: "When an endpoint dies, its streams are broken off at once and in a way that shows, those of others are whole; \
                  soon no request is lost any more, and the endpoint is used again when it is back.",
    level: Level::Must,
    source: "RFC 9112, section 8: an incomplete message must be seen to be so; GIE v1.5.0, pkg/epp/datastore: pods that are not \
             ready are no endpoints",
    needs: &[
        PoolToLoad::NEED,
        EndpointNames::NEED,
        Need::change(Kind::Endpoint),
    ],
    alpha_parts: 0,
    plan: |_, rates| {
        let plan = none::plan(none::SHARE, rates)?;
        Ok(effort(&plan, 1, PACE_REQUESTS + STREAMS + TRUSTED_REQUESTS).waits(3.0))
    },
    run: |ctx| Box::pin(endpoint_killed(ctx)),
};

const STREAMS: usize = 6;

async fn endpoint_killed(ctx: &Context) -> Result<Outcome> {
    let (model, _) = PoolToLoad::find(&ctx.target)?;
    let mut before = Vec::new();
    if let Some(outcome) = unwell(ctx, model, &mut before).await? {
        return Ok(outcome);
    }
    let streams = Streams::open(ctx, model, STREAMS).await?;
    let (_, killed) = under_way(ctx, model).await?;
    let mut timeline = Timeline::of_endpoint(&killed.name);
    timeline.add(&before);
    let endpoint = |running| Change::Endpoint {
        endpoint: killed.name.clone(),
        running,
    };
    ctx.change(endpoint(false)).await?;
    let killed_at = Instant::now();
    timeline.gone();
    let recovery = until_steady(ctx, model, &mut timeline, TRUSTED, Exchange::is_success).await?;

    let mut findings = Findings::default();
    let tokens = streams.tokens;
    let (streams, _) = streams.finish().await?;
    timeline.add(&streams);
    let plan = none::plan(none::SHARE, &ctx.rates)?;
    if recovery.took.is_some() {
        let of = "share of requests that were lost after the recovery";
        let judge = |what: &str, exchange: &Exchange| vec![expect::success(what, exchange)];
        let serving = (IN_FLIGHT, ctx.timeouts.request);
        let elsewhere = sample(ctx, model, (&plan, of), serving, &mut findings, judge).await?;
        timeline.add(&elsewhere);
    }
    let is_own = |it: &Exchange| served::endpoint_of(it).is_none_or(|it| it == killed.name);
    let (own, others): (Vec<Exchange>, Vec<Exchange>) = streams.into_iter().partition(is_own);
    let whole = Whole::like(others.iter(), tokens);
    for stream in &others {
        findings.add(whole.expect("stream of another endpoint", stream));
    }
    let mut broken = 0;
    for stream in &own {
        // It may have come to its end just before.
        if whole.is(stream) {
            continue;
        }
        broken += 1;
        let what = "stream of the endpoint that was killed";
        findings.add(expect::that(
            shows_its_break(stream),
            what,
            "broken off, or ended with an error",
            in_words(stream),
        ));
        let after = stream.ended_at.saturating_duration_since(killed_at);
        findings.add(expect::that(
            after < ctx.timeouts.refusal,
            what,
            format!("an end within {:?}", ctx.timeouts.refusal),
            format!("{} ms", after.as_millis()),
        ));
    }
    if broken == 0 {
        return Ok(Outcome::invalid(format!(
            "no stream was under way on {} any more when it was killed",
            killed.name
        )));
    }
    findings.add(expect::that(
        recovery.took.is_some(),
        "requests once the endpoint is dead",
        "served elsewhere",
        recovery.in_words(),
    ));

    timeline.back();
    ctx.change(endpoint(true)).await?;
    findings.note(format!(
        "no request was lost any more {}",
        recovery.in_words()
    ));
    expect_return(ctx, model, &killed.name, &mut timeline, &mut findings).await?;
    findings.show(timeline.picture());
    Ok(findings.outcome(format!(
        "{broken} streams broken off, {} of other endpoints whole; {} requests lost within {:?}, then none of {}; back in use",
        others.len(),
        recovery.wrong.len(),
        ctx.timeouts.recovery,
        plan.n
    )))
}

/// Whether a client can tell that a stream did not come to its end.
fn shows_its_break(stream: &Exchange) -> bool {
    match stream.ending {
        Ending::Cut(_) => true,
        Ending::Complete => {
            let refused = stream.status.is_some_and(|status| status >= 500);
            let last = stream.frames.last();
            refused || last.is_some_and(|frame| frame.data.contains("\"error\""))
        }
        _ => false,
    }
}

fn in_words(stream: &Exchange) -> String {
    let end = match stream.is_success() {
        true => "an end as if it were whole".to_owned(),
        false => stream.describe(),
    };
    format!("{} frames, {end}", stream.frames.len())
}
