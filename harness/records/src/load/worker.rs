//! The workers of a distributed run.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A worker and its contribution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Worker {
    /// The name of the worker.
    pub name: String,
    /// Where it ran: a process on this machine, or a pod and its node.
    pub place: String,
    /// Requests in its part, including the warm-up. `None` in a closed loop, where the server determines the number.
    pub planned: Option<u64>,
    /// How many of them it started. For a lost worker, the last known number.
    pub sent: u64,
    /// The offset of its clock from the coordinator's before the start, in milliseconds. Its start time was shifted by
    /// this offset.
    pub clock_offset_ms: f64,
    /// The largest error of that offset, in milliseconds. Start times of workers differ by at most twice the largest of
    /// these.
    pub clock_uncertainty_ms: f64,
    /// The processors available to it; `None` for a lost worker.
    pub cores: Option<usize>,
    /// Processor time of its sending threads, in milliseconds; `None` for a lost worker.
    pub cpu_ms: Option<f64>,
    /// Why its measurement is missing, if it is. None of its requests are counted then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<String>,
}

impl Worker {
    /// Requests in its part that it did not start, as far as known.
    pub fn not_sent(&self) -> Option<u64> {
        Some(self.planned?.saturating_sub(self.sent))
    }

    /// Why this worker makes the run untrustworthy, if it does.
    pub fn doubt(&self) -> Option<String> {
        let lost = self.lost.as_ref()?;
        let share = match (self.planned, self.not_sent()) {
            (Some(planned), Some(not_sent)) => {
                format!("of its {planned} requests, {not_sent} were not sent")
            }
            _ => format!("it had sent {} requests", self.sent),
        };
        Some(format!(
            "{} ({}) was lost: {lost}; {share}, none of its requests are counted",
            self.name, self.place
        ))
    }
}
