//! Shows that most requests of two classes are held.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use poolproof_cases::ballast::Ballast;
use poolproof_cases::context::Context;
use poolproof_client::evidence::{endpoint, epp};
use poolproof_client::poll;
use poolproof_model::target::Pool;

use super::Class;
use super::sent::{OnTheWay, in_flight};

/// The share of the requests of a class that must have been held.
const HELD_SHARE: f64 = 0.8;

/// Waits until enough requests are held that most of either class must be among them. Returns how that is known.
/// Counted without regard to priority: a picker that never learns of priorities holds them too, and is to be judged.
pub(super) async fn shown_held(
    ctx: &Context,
    pool: &Pool,
    classes: [Class<'_>; 2],
    ballast: &[Ballast],
    sent: &[OnTheWay; 2],
) -> Result<String, String> {
    let sizes = classes.map(|class| class.requests);
    let total: usize = sizes.iter().sum();
    let smallest = sizes.into_iter().min().unwrap_or(0) as f64;
    let wanted = total as f64 - smallest * (1.0 - HELD_SHARE);
    let source = match pool.epp_metrics {
        Some(_) => "the endpoint picker's metrics",
        None => "the client's count less the endpoints'",
    };
    let last = AtomicU64::new(0);
    let what = format!("{wanted} requests are held");
    let held = poll::until(what, ctx.timeouts.held, poll::INTERVAL, || async {
        let held = match epp::read(&ctx.http, pool).await.ok()? {
            Some(reading) => reading.held.values().sum::<u64>() as f64,
            None => in_flight(sent) as f64 - probes_at_endpoints(ctx, pool, ballast).await.ok()?,
        };
        last.store(held.max(0.0) as u64, Ordering::Relaxed);
        (held >= wanted).then_some(())
    });
    let reached = held.await.is_ok();
    let last = last.into_inner();
    match reached {
        true => Ok(format!("{last} of {total} requests held, by {source}")),
        false => Err(format!(
            "only {last} of {total} requests were held, by {source}: no contention"
        )),
    }
}

/// Requests at the endpoints that are not ballast.
async fn probes_at_endpoints(ctx: &Context, pool: &Pool, ballast: &[Ballast]) -> Result<f64> {
    let mut there = 0.0;
    for endpoint in &pool.endpoints {
        let reading = endpoint::read(&ctx.http, endpoint).await?;
        there += reading.running + reading.waiting;
    }
    let ballast: usize = ballast.iter().map(Ballast::requests).sum();
    Ok((there - ballast as f64).max(0.0))
}
