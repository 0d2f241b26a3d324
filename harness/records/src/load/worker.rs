//! The workers of a run that several processes sent together.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A worker, and what it did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Worker {
    /// Its name.
    pub name: String,
    /// Where it ran: a process of this machine, or a pod and its node.
    pub place: String,
    /// Requests of its part, those of the warm-up included; `None` in a closed loop, where that is for the server to say.
    pub planned: Option<u64>,
    /// Of these, those that it started; of a lost one, as far as was heard.
    pub sent: u64,
    /// Its clock less that of the coordinator before the start, in milliseconds: it was told to start by so much later.
    pub clock_offset_ms: f64,
    /// By how much that may be wrong at most, in milliseconds: workers began together to twice the largest of these.
    pub clock_uncertainty_ms: f64,
    /// The processors that it may use; `None` of a lost one.
    pub cores: Option<usize>,
    /// Processor time of its sending threads, in milliseconds; `None` of a lost one.
    pub cpu_ms: Option<f64>,
    /// Why it did not hand over what it measured, if it did not: nothing that it sent is counted then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<String>,
}

impl Worker {
    /// Requests of its part that it did not start, as far as was heard.
    pub fn not_sent(&self) -> Option<u64> {
        Some(self.planned?.saturating_sub(self.sent))
    }

    /// Why a run is not to be trusted of which this worker was a part, if it is not.
    pub fn doubt(&self) -> Option<String> {
        let lost = self.lost.as_ref()?;
        let share = match (self.planned, self.not_sent()) {
            (Some(planned), Some(not_sent)) => {
                format!("of its {planned} requests, {not_sent} were not sent")
            }
            _ => format!("it had sent {} requests", self.sent),
        };
        Some(format!(
            "{} ({}) was lost: {lost}; {share}, and nothing of it is counted",
            self.name, self.place
        ))
    }
}
