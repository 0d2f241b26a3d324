//! An endpoint that is replaced by one of the same name at another address.

use anyhow::Result;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::Effort;
use poolproof_cases::need::{EndpointNames, Find, Need, PoolToLoad};
use poolproof_client::evidence::served;
use poolproof_client::{Connections, drive};
use poolproof_model::change::{Change, Kind};
use poolproof_model::verdict::{Findings, Outcome};

use super::none;
use super::traffic::{Forms, IN_FLIGHT, TOKENS};
use crate::faults::timeline::Timeline;
use crate::faults::{ROUNDS_REQUESTS_MAX, STEADY_REQUESTS, expect_return, expect_served, unwell};
use crate::streams::Whole;

pub(super) const CASE: Case = Case {
    id: "rollout/moved",
    requirement: "When an endpoint is at another address, soon no request is lost any more and the endpoint gets its requests \
                  there.",
    level: Level::Must,
    source: "GIE v1.5.0, pkg/epp/datastore: an endpoint has the address of its pod; Kubernetes, StatefulSet: a replaced pod keeps \
             its name, not its address; vllm-project/production-stack#1008",
    needs: &[
        PoolToLoad::NEED,
        EndpointNames::NEED,
        Need::change(Kind::Moved),
    ],
    alpha_parts: 0,
    plan: |_, rates| {
        let plan = none(rates)?;
        let most = plan.n as usize + 4 * ROUNDS_REQUESTS_MAX;
        let effort = Effort::fixed(&plan).and(3 * STEADY_REQUESTS);
        Ok(effort.in_flight(IN_FLIGHT).at_most(most as u64).waits(2.0))
    },
    run: |ctx| Box::pin(moved(ctx)),
};

async fn moved(ctx: &Context) -> Result<Outcome> {
    let (model, pool) = PoolToLoad::find(&ctx.target)?;
    let plan = none(&ctx.rates)?;
    let endpoint = pool.endpoints[0].name.as_str();
    let change = |moved| Change::Moved {
        endpoint: endpoint.to_owned(),
        moved,
    };
    let mut findings = Findings::default();
    let mut timeline = Timeline::of_endpoint(endpoint);
    let mut before = Vec::new();
    if let Some(outcome) = unwell(ctx, model, &mut before).await? {
        return Ok(outcome);
    }
    timeline.add(&before);
    ctx.change(change(true)).await?;
    timeline.gone();
    let what = "requests once the endpoint has moved";
    let recovery = expect_served(ctx, model, &mut timeline, &mut findings, what).await?;
    // Only the new address answers: an answer of the endpoint is from there.
    expect_return(ctx, model, endpoint, &mut timeline, &mut findings).await?;
    let client = ctx.client(Connections::KeepAlive)?;
    let requests = Forms::new(ctx, model, TOKENS, "prompts").take(plan.n as usize);
    let exchanges = drive::closed_loop(&client, IN_FLIGHT, requests).await;
    timeline.add(&exchanges);
    let whole = Whole::like(exchanges.iter(), TOKENS);
    let mut lost = 0;
    for exchange in &exchanges {
        lost += u64::from(!whole.is(exchange));
        findings.add(whole.expect("request after the endpoint has moved", exchange));
    }
    findings.add_statistic(plan.decide("share of requests that were lost", lost, plan.n));
    let counts = served::by_endpoint(exchanges.iter());
    let to_it = counts.get(endpoint).copied().unwrap_or(0);

    ctx.change(change(false)).await?;
    timeline.back();
    let what = "requests once the endpoint has moved back";
    expect_served(ctx, model, &mut timeline, &mut findings, what).await?;
    findings.note(format!(
        "no request was lost any more {}",
        recovery.in_words()
    ));
    findings.show(timeline.picture());
    Ok(findings.outcome(format!(
        "{} requests served after {endpoint} moved, {to_it} of them at its new address",
        plan.n
    )))
}
