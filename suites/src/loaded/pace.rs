//! How fast probes are sent: by the time that one takes while all endpoints are idle.

use std::time::Duration;

use anyhow::{Result, ensure};
use poolproof_cases::context::Context;
use poolproof_client::Client;
use poolproof_model::target::Model;

use crate::mix::Mix;

/// Requests by which the pace of probes is found.
pub(crate) const PACE_SAMPLES: u32 = 8;

/// Probes that are open at once for each idle endpoint, by the time that one takes while all are idle.
pub(super) const IN_FLIGHT_PER_IDLE: usize = 2;

/// The shortest time between two probes.
pub(crate) const INTERVAL_MIN: Duration = Duration::from_millis(4);

/// A time between probes that keeps idle endpoints idle: by the time that one takes through the gateway.
pub(crate) async fn interval(
    ctx: &Context,
    client: &Client,
    model: &Model,
    idle_endpoints: usize,
) -> Result<Duration> {
    let (mut rng, mut mix) = (ctx.rng("pace"), Mix::default());
    let mut total = Duration::ZERO;
    for _ in 0..PACE_SAMPLES {
        let request = mix.request(&model.name, 1, &mut rng);
        let exchange = client.send(request.timeout(ctx.timeouts.request)).await;
        ensure!(
            exchange.is_success(),
            "a request for {} on an idle stack: {}",
            model.name,
            exchange.describe()
        );
        total += exchange.latency();
    }
    Ok(
        (total / PACE_SAMPLES / (IN_FLIGHT_PER_IDLE * idle_endpoints.max(1)) as u32)
            .max(INTERVAL_MIN),
    )
}
