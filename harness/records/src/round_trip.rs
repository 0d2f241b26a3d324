//! What the way to a gateway takes by itself: the time of answers that no endpoint has a part in.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
