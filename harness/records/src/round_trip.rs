//! Network round trips to the gateway, measured by responses that involve no endpoint.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The location of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Vantage {
    /// The machine that executes the run.
    Here,
    /// A pod in the cluster of the gateway.
    Pod,
}

/// The time of a round trip to the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RoundTrip {
    /// Where it begins.
    pub from: Vantage,
    /// The median, in milliseconds.
    pub p50_ms: f64,
    /// The 95th percentile, in milliseconds.
    pub p95_ms: f64,
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
