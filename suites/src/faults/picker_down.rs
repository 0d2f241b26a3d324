//! A pool that fails closed refuses its requests while its endpoint picker is down.

use anyhow::Result;
use poolproof_cases::ballast::wait_until_idle;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::Effort;
use poolproof_cases::expect;
use poolproof_cases::need::{Find, Need, PoolToLoad};
use poolproof_client::evidence::endpoint;
use poolproof_client::{Connections, Exchange, drive};
use poolproof_model::change::{Change, Kind};
use poolproof_model::target::{Model, Pool};
use poolproof_model::verdict::{Findings, Outcome};

use super::timeline::Timeline;
use super::{ROUNDS_REQUESTS_MAX, STEADY_REQUESTS, requests, until_steady, working};

pub(super) const CASE: Case = Case {
    id: "faults/picker-down",
    requirement: "While the endpoint picker of a pool that fails closed is down, each of its requests gets a 5xx and \
                  reaches no endpoint, and other models are served; when it is back, its requests are served again.",
    level: Level::Must,
    source: "GIE v1.5.0, api/v1, EndpointPickerRef.failureMode: FailClose, the default, drops the request",
    needs: &[PoolToLoad::NEED, Need::change(Kind::Picker)],
    alpha_parts: 0,
    plan: |_, _| {
        let requests = 2 * (REQUESTS + STEADY_REQUESTS);
        let most = 2 * (REQUESTS + ROUNDS_REQUESTS_MAX);
        Ok(Effort::requests(requests).at_most(most as u64).waits(1.0))
    },
    run: |ctx| Box::pin(picker_down(ctx)),
};

/// For the pool whose endpoint picker is down, and for another.
pub(super) const REQUESTS: usize = 20;
const IN_FLIGHT: usize = 10;

async fn picker_down(ctx: &Context) -> Result<Outcome> {
    let (model, pool) = PoolToLoad::find(&ctx.target)?;
    let other = ctx.target.models.iter().find(|it| it.name != model.name);
    let picker = |running| Change::Picker {
        pool: pool.name.clone(),
        running,
    };
    let mut findings = Findings::default();
    let mut timeline = Timeline::of_picker(&pool.name);
    working(ctx, model, &mut timeline).await?;
    let before = served(ctx, pool).await?;
    ctx.change(picker(false)).await?;
    timeline.gone();

    let (refused, others) = tokio::try_join!(send(ctx, Some(model)), send(ctx, other))?;
    timeline.add(&refused);
    timeline.add_other(&others);
    let mut slowest_ms = 0;
    for exchange in &refused {
        let what = format!("request for {} without a picker", model.name);
        findings.add(expect::statuses(&what, exchange, 500..=599));
        findings.add(expect::routed_nowhere(&what, exchange));
        slowest_ms = slowest_ms.max(exchange.latency().as_millis());
    }
    for exchange in &others {
        findings.add(expect::success(
            "request for another model meanwhile",
            exchange,
        ));
    }
    let reached = served(ctx, pool).await? - before;
    findings.add(expect::that(
        reached == 0.0,
        "requests that endpoints of the pool served meanwhile",
        0,
        reached,
    ));

    timeline.back();
    ctx.change(picker(true)).await?;
    let recovery = until_steady(ctx, model, &mut timeline, Exchange::is_success).await?;
    findings.add(expect::that(
        recovery.took.is_some(),
        "requests once the picker is back",
        "served",
        recovery.in_words(),
    ));
    findings.note(format!("the slowest refusal took {slowest_ms} ms"));
    findings.show(timeline.picture());
    findings.note(format!("served again {}", recovery.in_words()));
    let others = match others.len() {
        0 => "no other model to ask for meanwhile".to_owned(),
        others => format!("{others} of another model served meanwhile"),
    };
    Ok(findings.outcome(format!(
        "{REQUESTS} requests refused, none of them counted as served by the pool's endpoints; {others}; served again"
    )))
}

/// So many requests for a model at once, which are given up when a refusal should have come.
pub(super) async fn send(ctx: &Context, model: Option<&Model>) -> Result<Vec<Exchange>> {
    let Some(model) = model else {
        return Ok(Vec::new());
    };
    let client = ctx.client(Connections::KeepAlive)?;
    let mut rng = ctx.rng(&model.name);
    let requests = requests(model, REQUESTS, ctx.timeouts.refusal, &mut rng);
    Ok(drive::closed_loop(&client, IN_FLIGHT, requests).await)
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
