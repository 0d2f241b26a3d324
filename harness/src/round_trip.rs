//! What the way to a gateway takes by itself: the time of answers that no endpoint has a part in.

use std::fmt;
use std::sync::Arc;

use anyhow::{Result, ensure};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::client::{Api, Client, Connections, Request};

/// Requests, one after the other on one connection.
const REQUESTS: usize = 200;

/// Where the client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Vantage {
    /// The machine that the run is made on.
    Here,
    /// A pod of the cluster that the gateway is in.
    Pod,
}

/// A round trip to the gateway and back.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RoundTrip {
    /// Where it begins.
    pub from: Vantage,
    /// The median, in milliseconds.
    pub p50_ms: f64,
    /// The 95th percentile, in milliseconds.
    pub p95_ms: f64,
}

impl RoundTrip {
    /// Asks a gateway for a model that it cannot know, whatever it answers.
    pub async fn measure(gateway: &Url, from: Vantage) -> Result<Self> {
        let connections = Connections::KeepAlive;
        let client = Client::new("round-trip", gateway, connections, Arc::default())?;
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
        took_ms.sort_by(f64::total_cmp);
        Ok(Self {
            from,
            p50_ms: took_ms[REQUESTS / 2 - 1],
            p95_ms: took_ms[REQUESTS * 95 / 100 - 1],
        })
    }
}

impl fmt::Display for RoundTrip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let from = match self.from {
            Vantage::Here => "this machine",
            Vantage::Pod => "a pod",
        };
        let (p50_ms, p95_ms) = (self.p50_ms, self.p95_ms);
        write!(f, "{p50_ms:.2} ms from {from} (p95 {p95_ms:.2} ms)")
    }
}
