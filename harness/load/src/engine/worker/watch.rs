//! Listens to one answer and records its gaps.

use std::time::Duration;

use super::{Worker, pause};
use crate::http1::Listener;
use crate::recorder::Key;
use crate::schedule::Due;
use poolproof_model::workload::Series;
use poolproof_stats::clusters::Clusters;

/// Listens to one answer and records its gaps.
pub(super) struct Watch<'a> {
    pub(super) worker: &'a Worker,
    pub(super) due: Due,
    pub(super) class: usize,
    pub(super) model: usize,
    pub(super) place: Option<usize>,
    /// The `retry-after` of the answer.
    pub(super) retry_after: Option<Duration>,
    /// Gaps so far.
    pub(super) gaps: u64,
    /// Of these, those beyond each limit that the class has for them.
    pub(super) beyond: Vec<u64>,
}

impl Watch<'_> {
    fn place_of(&self, served_by: Option<&[u8]>) -> usize {
        let mut recorder = self.worker.recorder.borrow_mut();
        let names = &self.worker.job.names;
        let endpoint = served_by.and_then(|it| recorder.endpoint(names.endpoint_of(it)));
        recorder.place(Key {
            stage: self.due.stage,
            class: self.class,
            model: self.model,
            endpoint,
        })
    }

    pub(super) fn place(&self) -> usize {
        self.place.unwrap_or_else(|| self.place_of(None))
    }

    /// Records the gaps of the whole answer, for each limit that the class has for them.
    pub(super) fn keep_gaps(&self, place: usize) {
        let mut recorder = self.worker.recorder.borrow_mut();
        let limits = self.worker.job.gap_limits(self.class);
        for (limit, beyond) in limits.zip(&self.beyond) {
            let answers: &mut Clusters = recorder.at(place).gaps.entry(limit).or_default();
            answers.add(self.gaps, *beyond);
        }
    }
}

impl Listener for Watch<'_> {
    fn served_by_header(&self) -> &str {
        self.worker.job.names.header()
    }

    fn head(&mut self, served_by: Option<&[u8]>) {
        self.place = Some(self.place_of(served_by));
    }

    fn retry_after(&mut self, value: &[u8]) {
        self.retry_after = pause::seconds(value);
    }

    fn gap(&mut self, gap: Duration) {
        if self.worker.counts(self.due) {
            let mut recorder = self.worker.recorder.borrow_mut();
            let place = self.place.unwrap_or_default();
            recorder.at(place).record(Series::ItlChunk, gap);
            self.gaps += 1;
            let limits = self.worker.job.gap_limits(self.class);
            for (limit, beyond) in limits.zip(&mut self.beyond) {
                *beyond += u64::from(gap > limit);
            }
        }
    }
}
