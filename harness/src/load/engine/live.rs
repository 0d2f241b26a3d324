//! How far a run has come, for who watches it: counters that each worker alone writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The counters of one worker, or the sum of all.
#[derive(Debug, Default)]
pub(super) struct Live {
    started: AtomicU64,
    answered: AtomicU64,
    failed: AtomicU64,
    first_tokens: AtomicU64,
    ttft_us: AtomicU64,
}

/// What they say at one time.
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

/// The counters of all workers.
#[derive(Clone, Debug)]
pub struct Lives(Arc<[Arc<Live>]>);

fn add(counter: &AtomicU64, n: u64) {
    // There is one writer: no locked instruction is needed.
    counter.store(counter.load(Ordering::Relaxed) + n, Ordering::Relaxed);
}

impl Live {
    pub(super) fn started(&self) {
        add(&self.started, 1);
    }

    pub(super) fn answered(&self, ttft: Option<Duration>) {
        add(&self.answered, 1);
        if let Some(ttft) = ttft {
            add(&self.first_tokens, 1);
            add(&self.ttft_us, ttft.as_micros() as u64);
        }
    }

    pub(super) fn failed(&self) {
        add(&self.failed, 1);
    }

    pub(super) fn add_to(&self, sum: &mut Snapshot) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        sum.answered += read(&self.answered);
        sum.failed += read(&self.failed);
        // Read last, so that no request has ended that has not started.
        sum.started += read(&self.started);
        sum.ttft.0 += read(&self.first_tokens);
        sum.ttft.1 += read(&self.ttft_us);
    }
}

impl Lives {
    pub(super) fn new(lives: Vec<Arc<Live>>) -> Self {
        Self(lives.into())
    }

    /// What they say now, all together.
    pub fn snapshot(&self) -> Snapshot {
        let mut sum = Snapshot::default();
        self.0.iter().for_each(|live| live.add_to(&mut sum));
        sum
    }
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
