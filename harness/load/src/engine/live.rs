//! Live progress counters. Each worker writes its own; readers only sum.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use poolproof_client::lock::lock;
use poolproof_records::load::Snapshot;

/// How often a worker publishes what is no plain counter.
pub(super) const PUBLISHED_EVERY: Duration = Duration::from_millis(500);

/// The counters of one worker, or the sum of all.
#[derive(Debug, Default)]
pub(super) struct Live {
    started: AtomicU64,
    answered: AtomicU64,
    failed: AtomicU64,
    first_tokens: AtomicU64,
    ttft_us: AtomicU64,
    /// What the worker published last, without the counters above.
    details: Mutex<Snapshot>,
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

    /// Publishes tokens, failures by kind, endpoints and the TTFT.
    pub(super) fn publish(&self, details: Snapshot) {
        *lock(&self.details) = details;
    }

    fn snapshot(&self) -> Snapshot {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (answered, failed) = (read(&self.answered), read(&self.failed));
        Snapshot {
            answered,
            failed,
            // Read last, so that no request has ended that has not started.
            started: read(&self.started),
            ttft: (read(&self.first_tokens), read(&self.ttft_us)),
            ..lock(&self.details).clone()
        }
    }
}

impl Lives {
    pub(super) fn new(lives: Vec<Arc<Live>>) -> Self {
        Self(lives.into())
    }

    /// The sum of all counters now.
    pub fn snapshot(&self) -> Snapshot {
        self.0.iter().map(|live| live.snapshot()).sum()
    }
}
