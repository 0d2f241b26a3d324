//! What the client itself took.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a thread took over some time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Cost {
    /// How long it ran, in milliseconds.
    pub wall_ms: f64,
    /// Processor time, in milliseconds.
    pub cpu_ms: f64,
    /// Time in which it could have run, but another thread had the processor, in milliseconds.
    pub run_queue_ms: f64,
}
