//! The resource use of the client.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The resource use of a thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Cost {
    /// The running time, in milliseconds.
    pub wall_ms: f64,
    /// Processor time, in milliseconds.
    pub cpu_ms: f64,
    /// Time on the run queue, while other threads used the processor, in milliseconds.
    pub run_queue_ms: f64,
}
