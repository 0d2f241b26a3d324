//! Ballast that fills a pool.

use anyhow::Result;
use futures_util::future::try_join_all;
use poolproof_cases::ballast::Ballast;
use poolproof_cases::context::Context;
use poolproof_client::evidence::epp;
use poolproof_model::target::{Model, Pool};

/// Waiting requests that fill an endpoint: above GIE's default threshold of 5. More are tried where a picker says that
/// its pool is not saturated yet.
const WAITING: [u64; 3] = [8, 16, 32];

/// Puts ballast on every endpoint until the picker takes its pool to be saturated, where it says so.
pub(crate) async fn saturate(ctx: &Context, model: &Model, pool: &Pool) -> Result<Vec<Ballast>> {
    let [least, ..] = WAITING;
    let endpoints = pool.endpoints.iter();
    let ballast = endpoints.map(|endpoint| Ballast::waiting(ctx, endpoint, &model.name, least));
    let mut ballast = try_join_all(ballast).await?;
    let mut before = 0;
    for waiting in WAITING {
        try_join_all(ballast.iter_mut().map(|it| it.raise(ctx, waiting))).await?;
        tokio::time::sleep(ctx.timeouts.metrics_settle).await;
        let saturation = epp::read(&ctx.http, pool)
            .await?
            .and_then(|it| it.saturation);
        if saturation.is_none_or(|saturation| saturation >= 1.0) {
            return Ok(ballast);
        }
        before = waiting;
    }
    anyhow::bail!(
        "the endpoint picker of pool {} does not take it to be saturated with {before} requests waiting at every endpoint",
        pool.name
    )
}
