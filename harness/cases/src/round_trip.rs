//! Measures the network round trip to a gateway.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use poolproof_model::target::Target;

use poolproof_client::{Api, Client, Connections, Request};
use poolproof_stats::interval::quantile;

pub use poolproof_records::round_trip::{RoundTrip, Vantage};

/// The number of sequential requests on one connection.
const REQUESTS: usize = 200;

/// Requests a model that the gateway cannot know. Any response counts.
pub async fn measure(target: &Target, from: Vantage) -> Result<RoundTrip> {
    let connections = Connections::KeepAlive;
    let gateway = &target.url;
    let client = Client::of(target, gateway, "round-trip", connections, Arc::default())?;
    let mut took_ms = Vec::new();
    for _ in 0..REQUESTS {
        let model = "poolproof-no-such-model";
        let request = Request::new(Api::Completions, model, 1, &mut rand::rng());
        let exchange = client.send(request).await;
        ensure!(
            exchange.status.is_some(),
            "round trip to {gateway}: {}",
            exchange.describe()
        );
        took_ms.push(exchange.latency().as_secs_f64() * 1000.0);
    }
    let at = |q| quantile(&took_ms, q).context("too few round trips");
    Ok(RoundTrip {
        from,
        p50_ms: at(0.5)?.value,
        p95_ms: at(0.95)?.value,
    })
}
