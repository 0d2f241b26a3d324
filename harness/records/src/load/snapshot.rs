//! Counters of a load run while it lasts.

use serde::{Deserialize, Serialize};

/// What the counters of a run read at one time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Requests that were started.
    pub started: u64,
    /// Of these, those that were answered as a whole.
    pub answered: u64,
    /// Those that failed.
    pub failed: u64,
    /// Answers of which the first token has come, and the sum of their TTFT, in microseconds.
    pub ttft: (u64, u64),
}

impl std::iter::Sum for Snapshot {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, it| Self {
            started: sum.started + it.started,
            answered: sum.answered + it.answered,
            failed: sum.failed + it.failed,
            ttft: (sum.ttft.0 + it.ttft.0, sum.ttft.1 + it.ttft.1),
        })
    }
}

impl Snapshot {
    /// Requests that have started and not ended.
    pub fn in_flight(&self) -> u64 {
        self.started.saturating_sub(self.answered + self.failed)
    }

    /// What was added since `earlier`.
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            started: self.started - earlier.started,
            answered: self.answered - earlier.answered,
            failed: self.failed - earlier.failed,
            ttft: (self.ttft.0 - earlier.ttft.0, self.ttft.1 - earlier.ttft.1),
        }
    }

    /// The mean TTFT, in milliseconds.
    pub fn mean_ttft_ms(&self) -> Option<f64> {
        let (n, sum_us) = self.ttft;
        (n > 0).then(|| sum_us as f64 / n as f64 / 1000.0)
    }
}
