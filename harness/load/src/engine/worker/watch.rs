//! Listens to one answer and records its gaps.

use std::time::Duration;

use super::Worker;
use crate::http1::Listener;
use crate::recorder::{Key, Times};
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
    /// Gaps so far.
    pub(super) gaps: Gaps,
    /// Of these, those beyond each limit that the class has for them.
    pub(super) beyond: Vec<u64>,
}

/// The gaps of one answer. They are recorded once the answer has turned out good.
#[derive(Default)]
pub(super) struct Gaps {
    /// The last ones, in microseconds.
    recent_us: Vec<u32>,
    /// Those before, of a long answer.
    earlier: Option<Box<Times>>,
    count: u64,
}

/// The gaps that are kept one by one: more take less memory in a histogram.
const RECENT_MAX: usize = 2048;

impl Gaps {
    fn add(&mut self, gap: Duration) {
        if self.recent_us.len() == RECENT_MAX {
            let earlier = self.earlier.get_or_insert_default();
            for us in self.recent_us.drain(..) {
                earlier.record(Duration::from_micros(us.into()));
            }
        }
        let us = gap.as_micros().try_into().unwrap_or(u32::MAX);
        self.recent_us.push(us);
        self.count += 1;
    }
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

    /// Records the gaps of a good answer: each one, and for each limit that the class has for them how many are beyond it.
    pub(super) fn keep_gaps(&self, place: usize) {
        let mut recorder = self.worker.recorder.borrow_mut();
        let cell = recorder.at(place);
        if self.gaps.count > 0 {
            cell.record_all(Series::ItlChunk, &self.gaps.recent_us);
        }
        if let Some(earlier) = &self.gaps.earlier {
            cell.add(Series::ItlChunk, earlier);
        }
        let limits = self.worker.job.gap_limits(self.class);
        for (limit, beyond) in limits.zip(&self.beyond) {
            let answers: &mut Clusters = cell.gaps.entry(limit).or_default();
            answers.add(self.gaps.count, *beyond);
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

    fn gap(&mut self, gap: Duration) {
        if self.worker.counts(self.due) {
            self.gaps.add(gap);
            let limits = self.worker.job.gap_limits(self.class);
            for (limit, beyond) in limits.zip(&mut self.beyond) {
                *beyond += u64::from(gap > limit);
            }
        }
    }
}
