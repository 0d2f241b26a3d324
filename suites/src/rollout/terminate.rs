//! An endpoint that ends with a grace period: nothing is lost.

use std::time::Instant;

use anyhow::Result;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::Effort;
use poolproof_cases::need::{EndpointNames, Find, Need, PoolToLoad};
use poolproof_client::Exchange;
use poolproof_client::evidence::served;
use poolproof_model::change::{Change, Kind};
use poolproof_model::verdict::{Findings, Outcome};

use super::none;
use super::traffic::{IN_FLIGHT, REQUESTS_MAX, TOKENS, Traffic};
use crate::faults::timeline::Timeline;
use crate::faults::{ROUNDS_REQUESTS_MAX, expect_return};
use crate::streams::{PACE_REQUESTS, Streams, Whole, under_way};

pub(super) const CASE: Case = Case {
    id: "rollout/terminate",
    requirement: "While an endpoint ends within its grace period and once it is gone, no request is lost and every stream is \
                  whole, its own as well; it is used again when it is back.",
    level: Level::Must,
    source: "Kubernetes, Pod Lifecycle, termination: a terminating pod gets no new traffic and finishes its requests; \
             GIE v1.5.0, pkg/epp/util/pod: a pod with a deletionTimestamp is no endpoint; vllm-project/production-stack#601",
    needs: &[
        PoolToLoad::NEED,
        EndpointNames::NEED,
        Need::change(Kind::Terminate),
    ],
    alpha_parts: 0,
    plan: |_, rates| {
        let plan = none(rates)?;
        let other = PACE_REQUESTS + 2 * PAIRS + IN_FLIGHT;
        let most = other + REQUESTS_MAX + ROUNDS_REQUESTS_MAX;
        let effort = Effort::fixed(&plan).and(plan.n as usize + other);
        Ok(effort.in_flight(IN_FLIGHT).at_most(most as u64).waits(2.0))
    },
    run: |ctx| Box::pin(terminate(ctx)),
};

/// Pairs of streams that are under way. One endpoint of the reference stack can work on all of them.
const PAIRS: usize = 4;
/// The least number of requests that are sent while the endpoint ends. If one in five is lost, a sample of this size has none in 1 of 100 runs.
const DURING_MIN: u64 = 21;

async fn terminate(ctx: &Context) -> Result<Outcome> {
    let (model, _) = PoolToLoad::find(&ctx.target)?;
    let plan = none(&ctx.rates)?;
    let streams = Streams::open_pairs(ctx, model, PAIRS).await?;
    let (_, ending) = under_way(ctx, model).await?;
    let mut timeline = Timeline::of_endpoint(&ending.name);
    let runs = |running| Change::Terminate {
        endpoint: ending.name.clone(),
        running,
    };
    let traffic = Traffic::start(ctx, model, TOKENS)?;
    let mut all_sent = traffic.more(ctx, 2 * IN_FLIGHT).await;
    let told_at = Instant::now();
    ctx.change(runs(false)).await?;
    let gone_at = Instant::now();
    timeline.gone();
    all_sent &= traffic.more(ctx, plan.n as usize).await;
    let exchanges = traffic.stop().await?;
    let tokens = streams.tokens;
    let (streams, _) = streams.finish().await?;
    timeline.add(&exchanges);
    timeline.add(&streams);

    let mut findings = Findings::default();
    let whole = Whole::like(exchanges.iter(), TOKENS);
    let (mut during, mut after, mut lost) = (0, 0, 0);
    for exchange in &exchanges {
        let what = if exchange.sent_at < told_at {
            "request before the endpoint ended"
        } else if exchange.sent_at < gone_at {
            during += 1;
            "request while the endpoint ended"
        } else {
            after += 1;
            "request once the endpoint was gone"
        };
        lost += u64::from(exchange.sent_at >= told_at && !whole.is(exchange));
        findings.add(whole.expect(what, exchange));
    }
    findings.add_statistic(plan.decide("share of requests that were lost", lost, during + after));
    let whole = Whole::like(streams.iter(), tokens);
    let is_own = |it: &&Exchange| served::endpoint_of(it) == Some(&ending.name);
    let own: Vec<&Exchange> = streams.iter().filter(is_own).collect();
    for stream in &streams {
        let what = if is_own(&stream) {
            "stream of the endpoint that ended"
        } else {
            "stream of another endpoint"
        };
        findings.add(whole.expect(what, stream));
    }
    if !own.iter().any(|stream| stream.ended_at > told_at) && !findings.failed() {
        return Ok(Outcome::invalid(format!(
            "no stream was under way on {} any more when it ended",
            ending.name
        )));
    }
    if during < DURING_MIN && !findings.failed() {
        return Ok(Outcome::invalid(format!(
            "only {during} requests were sent while the endpoint ended, not {DURING_MIN}"
        )));
    }
    if !all_sent && !findings.failed() {
        return Ok(Outcome::inconclusive(format!(
            "{} requests were sent after the endpoint got its signal to end; {} would decide",
            during + after,
            plan.n
        )));
    }

    timeline.back();
    ctx.change(runs(true)).await?;
    expect_return(ctx, model, &ending.name, &mut timeline, &mut findings).await?;
    findings.note(format!(
        "the endpoint was gone after {} ms",
        (gone_at - told_at).as_millis()
    ));
    findings.note(format!(
        "{during} requests were sent while it ended, {after} once it was gone"
    ));
    findings.show(timeline.picture());
    Ok(findings.outcome(format!(
        "none of {} requests lost; {} streams whole, {} of them its own; back in use",
        during + after,
        streams.len(),
        own.len()
    )))
}
