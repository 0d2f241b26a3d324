//! A pool that fails open is served while its endpoint picker is down.

use anyhow::Result;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::Effort;
use poolproof_cases::expect;
use poolproof_cases::need::{EndpointNames, Find, Need, PoolToLoad};
use poolproof_client::Exchange;
use poolproof_model::change::{Change, Kind};
use poolproof_model::verdict::{Findings, Outcome};

use super::picker_down::{REQUESTS, send};
use super::timeline::Timeline;
use super::{ROUNDS_REQUESTS_MAX, STEADY_REQUESTS, until_steady, working};

pub(super) const CASE: Case = Case {
    id: "faults/picker-down-open",
    requirement: "While the endpoint picker of a pool that fails open is down, each of its requests is served by an endpoint of \
                  the pool.",
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
    plan: |_, _| {
        let requests = REQUESTS + 2 * STEADY_REQUESTS;
        let most = REQUESTS + 2 * ROUNDS_REQUESTS_MAX;
        Ok(Effort::requests(requests).at_most(most as u64).waits(1.0))
    },
    run: |ctx| Box::pin(picker_down_open(ctx)),
};

async fn picker_down_open(ctx: &Context) -> Result<Outcome> {
    let (model, pool) = PoolToLoad::find(&ctx.target)?;
    let mut findings = Findings::default();
    let mut timeline = Timeline::of_picker(&pool.name);
    working(ctx, model, &mut timeline).await?;
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

    let opened = until_steady(ctx, model, &mut timeline, Exchange::is_success).await?;
    findings.add(expect::that(
        opened.took.is_some(),
        "requests without a picker",
        "served",
        opened.in_words(),
    ));
    if opened.took.is_some() {
        let served = send(ctx, Some(model)).await?;
        timeline.add(&served);
        for exchange in &served {
            let what = format!("request for {} without a picker", model.name);
            findings.add(expect::success(&what, exchange));
            findings.add(expect::served_by(&what, exchange, &ctx.target, model));
        }
    }
    findings.show(timeline.picture());
    findings.note(format!("served without a picker {}", opened.in_words()));
    Ok(findings.outcome(format!(
        "{REQUESTS} requests served by endpoints of the pool, without a picker"
    )))
}
