//! Listens to one answer and records its gaps.

use std::time::Duration;

use super::{Worker, pause};
use crate::http1::Listener;
use crate::recorder::{Cell, Key, Times};
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
    pub(super) gaps: Gaps,
    /// Of these, those beyond each limit that the class has for them.
    pub(super) beyond: Vec<u64>,
}

/// The gaps of one answer, in microseconds. They are recorded once the answer has turned out good.
#[derive(Default)]
pub(super) struct Gaps {
    /// The last short ones: most gaps take two bytes.
    short_us: Vec<u16>,
    /// The last long ones.
    long_us: Vec<u32>,
    /// Those before, of a long answer.
    earlier: Option<Box<Times>>,
    count: u64,
}

/// The gaps that are kept one by one: more take less memory in a histogram.
const RECENT_MAX: usize = 4096;

impl Gaps {
    #[inline]
    fn add(&mut self, gap: Duration) {
        let us = gap.as_micros().min(u32::MAX.into()) as u32;
        match u16::try_from(us) {
            Ok(us) => self.short_us.push(us),
            Err(_) => self.long_us.push(us),
        }
        self.count += 1;
        if self.short_us.len() + self.long_us.len() == RECENT_MAX {
            self.settle();
        }
    }

    #[cold]
    fn settle(&mut self) {
        let earlier = self.earlier.get_or_insert_default();
        let short = self.short_us.drain(..).map(u32::from);
        for us in short.chain(self.long_us.drain(..)) {
            earlier.record(Duration::from_micros(us.into()));
        }
    }

    fn record_in(&self, cell: &mut Cell) {
        let short = self.short_us.iter().map(|us| u32::from(*us));
        let recent = short.chain(self.long_us.iter().copied());
        if self.count > 0 {
            cell.record_all(Series::ItlChunk, recent);
        }
        if let Some(earlier) = &self.earlier {
            cell.add(Series::ItlChunk, earlier);
        }
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
        self.gaps.record_in(cell);
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

    fn retry_after(&mut self, value: &[u8]) {
        self.retry_after = pause::retry_after(value);
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
