//! Live progress counters. Each worker writes its own; readers only sum.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::failure::Failure;
use poolproof_client::lock::lock;
use poolproof_records::load::{Snapshot, Spread};

/// The counters of one worker, or the sum of all.
#[derive(Debug, Default)]
pub(super) struct Live {
    started: AtomicU64,
    answered: AtomicU64,
    failed: AtomicU64,
    first_tokens: AtomicU64,
    ttft_us: AtomicU64,
    /// Read once a second, so that its worker hardly ever waits for it.
    details: Mutex<Details>,
}

#[derive(Debug, Default)]
struct Details {
    output_tokens: u64,
    failures: BTreeMap<Failure, u64>,
    /// The name and the answers of each endpoint, by its place in the recorder of the worker.
    endpoints: Vec<(String, u64)>,
    ttfts: Spread,
}

/// An answer, as it is counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer<'a> {
    pub(super) ttft: Option<Duration>,
    pub(super) output_tokens: u64,
    /// The place and the name of the endpoint that it names.
    pub(super) endpoint: Option<(usize, &'a str)>,
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

    pub(super) fn answered(&self, answer: Answer<'_>) {
        add(&self.answered, 1);
        let mut details = lock(&self.details);
        details.output_tokens += answer.output_tokens;
        if let Some(ttft) = answer.ttft {
            let us = ttft.as_micros() as u64;
            add(&self.first_tokens, 1);
            add(&self.ttft_us, us);
            details.ttfts.record(us);
        }
        if let Some((place, name)) = answer.endpoint {
            if place >= details.endpoints.len() {
                details.endpoints.resize_with(place + 1, Default::default);
            }
            let endpoint = &mut details.endpoints[place];
            if endpoint.1 == 0 {
                name.clone_into(&mut endpoint.0);
            }
            endpoint.1 += 1;
        }
    }

    pub(super) fn failed(&self, kind: Failure) {
        add(&self.failed, 1);
        *lock(&self.details).failures.entry(kind).or_default() += 1;
    }

    fn snapshot(&self) -> Snapshot {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (answered, failed) = (read(&self.answered), read(&self.failed));
        let details = lock(&self.details);
        let failures = details.failures.iter();
        let endpoints = details.endpoints.iter().filter(|(_, count)| *count > 0);
        Snapshot {
            answered,
            failed,
            // Read last, so that no request has ended that has not started.
            started: read(&self.started),
            ttft: (read(&self.first_tokens), read(&self.ttft_us)),
            output_tokens: details.output_tokens,
            failures: failures
                .map(|(kind, count)| (kind.to_string(), *count))
                .collect(),
            endpoints: endpoints.cloned().collect(),
            ttfts: details.ttfts.clone(),
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
