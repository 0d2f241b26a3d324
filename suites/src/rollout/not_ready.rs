//! An endpoint that is not ready gets no new requests, and loses none.

use std::time::{Duration, Instant};

use anyhow::Result;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::Effort;
use poolproof_cases::expect;
use poolproof_cases::need::{EndpointNames, Find, Need, PoolToLoad};
use poolproof_client::evidence::served;
use poolproof_client::{Connections, Exchange, drive};
use poolproof_model::change::{Change, Kind};
use poolproof_model::verdict::{Findings, Outcome};

use super::none;
use super::traffic::{Forms, IN_FLIGHT, TOKENS};
use crate::faults::timeline::Timeline;
use crate::faults::{ROUNDS_REQUESTS_MAX, STEADY_REQUESTS, expect_return, until_steady};
use crate::streams::{PACE_REQUESTS, Streams, Whole, under_way};

pub(super) const CASE: Case = Case {
    id: "rollout/not-ready",
    requirement: "An endpoint that is not ready gets no request any more, finishes the streams that it has, and gets requests \
                  again when it is ready; no request is lost.",
    level: Level::Must,
    source: "GIE v1.5.0, pkg/epp/util/pod: a pod whose Ready condition is not True is no endpoint; Kubernetes, Pod Lifecycle, \
             readiness; kserve/kserve#5725",
    needs: &[
        PoolToLoad::NEED,
        EndpointNames::NEED,
        Need::change(Kind::Ready),
    ],
    alpha_parts: 0,
    plan: |_, rates| {
        let plan = none(rates)?;
        let fixed = PACE_REQUESTS + 2 * PAIRS;
        let most = fixed + plan.n as usize + 2 * ROUNDS_REQUESTS_MAX;
        let effort = Effort::fixed(&plan).and(fixed + 2 * STEADY_REQUESTS);
        Ok(effort.in_flight(IN_FLIGHT).at_most(most as u64).waits(2.0))
    },
    run: |ctx| Box::pin(not_ready(ctx)),
};

/// Pairs of streams that are under way. One endpoint of the reference stack can work on all of them.
const PAIRS: usize = 4;

async fn not_ready(ctx: &Context) -> Result<Outcome> {
    let (model, _) = PoolToLoad::find(&ctx.target)?;
    let plan = none(&ctx.rates)?;
    let streams = Streams::open_pairs(ctx, model, PAIRS).await?;
    let (_, unready) = under_way(ctx, model).await?;
    let mut timeline = Timeline::of_endpoint(&unready.name);
    let ready = |ready| Change::Ready {
        endpoint: unready.name.clone(),
        ready,
    };
    let is_own = |it: &Exchange| served::endpoint_of(it) == Some(&unready.name);
    let elsewhere = |it: &Exchange| it.is_success() && !is_own(it) && it.served_by.is_some();
    let mut findings = Findings::default();

    ctx.change(ready(false)).await?;
    let unready_at = Instant::now();
    timeline.gone();
    let left = until_steady(ctx, model, &mut timeline, Duration::ZERO, elsewhere).await?;
    let what = "requests once the endpoint is not ready";
    let (steady, words) = (left.took.is_some(), left.in_words());
    findings.add(expect::that(steady, what, "served elsewhere", words));
    for exchange in &left.wrong {
        findings.add(expect::success("request until the picker knew", exchange));
    }
    let tokens = streams.tokens;
    let (streams, _) = streams.finish().await?;
    timeline.add(&streams);
    let whole = Whole::like(streams.iter(), tokens);
    for stream in &streams {
        findings.add(whole.expect("stream that was open before", stream));
    }
    let own: Vec<&Exchange> = streams.iter().filter(|stream| is_own(stream)).collect();
    if !own.iter().any(|stream| stream.ended_at > unready_at) && !findings.failed() {
        return Ok(Outcome::invalid(format!(
            "no stream was under way on {} any more when it was not ready",
            unready.name
        )));
    }

    // All endpoints are as idle as the one that is not ready: a picker has no other reason to leave it out.
    let client = ctx.client(Connections::KeepAlive)?;
    let requests = Forms::new(ctx, model, TOKENS, "prompts").take(plan.n as usize);
    let exchanges = drive::closed_loop(&client, IN_FLIGHT, requests).await;
    timeline.add(&exchanges);
    let whole = Whole::like(exchanges.iter(), TOKENS);
    let what = format!("request while {} is not ready", unready.name);
    let mut to_it = 0;
    for exchange in &exchanges {
        to_it += u64::from(is_own(exchange));
        findings.add(whole.expect(&what, exchange));
        let served_by = served::endpoint_of(exchange).unwrap_or("nobody");
        let is_elsewhere = served_by != unready.name;
        findings.add(expect::that(
            is_elsewhere,
            &what,
            "served elsewhere",
            served_by,
        ));
    }
    let of = format!("share of {} while it is not ready", unready.name);
    findings.add_statistic(plan.decide(of, to_it, plan.n));

    timeline.back();
    ctx.change(ready(true)).await?;
    findings.note(format!("no request went to it {}", left.in_words()));
    expect_return(ctx, model, &unready.name, &mut timeline, &mut findings).await?;
    findings.show(timeline.picture());
    Ok(findings.outcome(format!(
        "{} requests elsewhere; {} streams whole, {} of them its own; back in use",
        plan.n,
        streams.len(),
        own.len()
    )))
}
