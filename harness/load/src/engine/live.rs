//! Live progress counters. Each worker writes its own; readers only sum.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use poolproof_records::load::Snapshot;

/// The counters of one worker, or the sum of all.
#[derive(Debug, Default)]
pub(super) struct Live {
    started: AtomicU64,
    answered: AtomicU64,
    failed: AtomicU64,
    first_tokens: AtomicU64,
    ttft_us: AtomicU64,
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

    /// The sum of all counters now.
    pub fn snapshot(&self) -> Snapshot {
        let mut sum = Snapshot::default();
        self.0.iter().for_each(|live| live.add_to(&mut sum));
        sum
    }
}
