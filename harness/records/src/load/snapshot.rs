//! Live counters of a load run.

use serde::{Deserialize, Serialize};

/// The counters of a run at one time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Requests that were started.
    pub started: u64,
    /// How many of them got a complete response.
    pub answered: u64,
    /// How many of them failed.
    pub failed: u64,
    /// The number of responses with a first token, and the sum of their TTFT in microseconds.
    pub ttft: (u64, u64),
}

impl std::iter::Sum for Snapshot {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, part| Self {
            started: sum.started + part.started,
            answered: sum.answered + part.answered,
            failed: sum.failed + part.failed,
            ttft: (sum.ttft.0 + part.ttft.0, sum.ttft.1 + part.ttft.1),
        })
    }
}

impl Snapshot {
    /// Requests that have started but not ended.
    pub fn in_flight(&self) -> u64 {
        self.started.saturating_sub(self.answered + self.failed)
    }

    /// The change since `earlier`.
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            started: self.started - earlier.started,
            answered: self.answered - earlier.answered,
            failed: self.failed - earlier.failed,
            ttft: (self.ttft.0 - earlier.ttft.0, self.ttft.1 - earlier.ttft.1),
        }
    }

    /// The mean TTFT in milliseconds.
    pub fn mean_ttft_ms(&self) -> Option<f64> {
        let (n, sum_us) = self.ttft;
        (n > 0).then(|| sum_us as f64 / n as f64 / 1000.0)
    }
}
