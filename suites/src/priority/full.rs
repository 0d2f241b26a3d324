//! A pool that is full for as long as a case wants it to be.

use std::time::Instant;

use anyhow::Result;
use poolproof_cases::ballast::{Ballast, wait_until_idle};
use poolproof_cases::context::Context;
use poolproof_client::drive::Sent;
use poolproof_client::evidence::endpoint::Reading;
use poolproof_client::evidence::epp;
use poolproof_client::evidence::watch::Watch;
use poolproof_model::target::{Model, Pool};

use super::contention::saturate;

/// Waiting requests of a full endpoint (GIE v1.5.0, queueDepthThreshold).
const FULL: f64 = 5.0;

/// A full pool. Dropping it takes the ballast away.
pub(super) struct Full {
    _ballast: Vec<Ballast>,
    watch: Watch,
    since: Instant,
}

impl Full {
    /// Fills an idle pool, and returns once pickers have seen it.
    pub(super) async fn fill(ctx: &Context, model: &Model, pool: &Pool) -> Result<Self> {
        for endpoint in &pool.endpoints {
            wait_until_idle(&ctx.http, endpoint, ctx.timeouts.drain).await?;
        }
        let ballast = saturate(ctx, model, pool).await?;
        let watch = Watch::start(&ctx.http, &pool.endpoints);
        tokio::time::sleep(ctx.timeouts.metrics_settle).await;
        Ok(Self {
            _ballast: ballast,
            watch,
            since: Instant::now(),
        })
    }

    /// Why the pool was not full at all times until now, if it was not.
    pub(super) async fn doubt(&self) -> Option<String> {
        let until = Instant::now();
        self.watch.read_after(until).await;
        let was_full = |reading: &Reading| reading.waiting >= FULL;
        let held = self.watch.held(self.since, until, was_full);
        (!held).then(|| format!("not every endpoint had {FULL} requests waiting all the time"))
    }
}

/// The requests that have no answer yet.
pub(super) fn open(sent: &[Sent]) -> usize {
    sent.iter().filter(|task| !task.is_finished()).count()
}

/// The requests that the endpoint picker of a pool holds, of one priority or of all; `None` if it does not say.
pub(super) async fn held(ctx: &Context, pool: &Pool, priority: Option<i32>) -> Option<u64> {
    let reading = epp::read(&ctx.http, pool).await.ok()??;
    Some(match priority {
        Some(priority) => reading.held.get(&priority).copied().unwrap_or(0),
        None => reading.held.values().sum(),
    })
}
