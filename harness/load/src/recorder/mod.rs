//! Measurements by stage, class, adapter and endpoint. Their size depends on these, not on the length of a run.

mod serial;
mod windows;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::failure::{Failed, Failure};
use poolproof_model::remark::Remark;
use poolproof_model::target::conceal;
use poolproof_model::workload::Series;
use poolproof_records::load::Snapshot;
use poolproof_stats::clusters::Clusters;
pub use windows::{Good, Windows, window_s};

/// Where a measurement belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key {
    /// The stage of the arrivals; of a session, the turn.
    pub stage: usize,
    /// The place of the class in the workload.
    pub class: usize,
    /// The place of the adapter in the class; 0 where that names none.
    pub model: usize,
    /// The place of the endpoint in [`Recorder::endpoints`]; `None` if no answer named one.
    pub endpoint: Option<usize>,
}

/// All of one key.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Cell {
    /// Requests that were sent, or could not be.
    pub requests: u64,
    /// Of these, those that were answered as a whole.
    pub answered: u64,
    /// Of these, those within every limit of the workload that is about single requests.
    pub good: u64,
    /// Those that failed.
    #[serde(with = "serial::pairs")]
    pub failed: BTreeMap<Failure, u64>,
    /// Tokens of the prompts of answered requests, as their servers counted them.
    pub input_tokens: u64,
    /// Tokens of the answers.
    pub output_tokens: u64,
    /// Tokens that the answered requests asked for.
    pub asked_tokens: u64,
    /// Streamed answers without a first token.
    pub textless: u64,
    /// Answers with each remark, in the order of [`Remark::ALL`].
    pub remarks: [u64; Remark::ALL.len()],
    /// Frames with text.
    pub chunks: u64,
    /// Of these, those that arrived together with the one before.
    pub together: u64,
    /// Answers without a token count.
    pub without_usage: u64,
    /// The gaps between frames with text, answer by answer, for each limit that the workload has for them: hits are beyond it.
    #[serde(with = "serial::pairs")]
    pub gaps: BTreeMap<Duration, Clusters>,
    /// Times, in microseconds.
    #[serde(with = "serial::all_counts")]
    series: [Option<Box<Histogram<u64>>>; Series::ALL.len()],
}

/// A failure that is shown as an example.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Example {
    /// Its kind.
    pub kind: Failure,
    /// The number of the request in the schedule.
    pub request: u64,
    /// Its details. Untrusted text.
    pub detail: String,
}

/// Examples that are kept of each kind of failure.
const EXAMPLES_MAX: usize = 3;
/// The most endpoints that are distinguished: the limit for servers that invent names.
const ENDPOINTS_MAX: usize = 1024;
/// Significant digits of a recorded time.
const DIGITS: u8 = 3;
/// The longest recorded time, in microseconds: a day.
const LONGEST_US: u64 = 86_400_000_000;

/// The measurements of one worker, or of several after [`Recorder::merge`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(try_from = "serial::Parts")]
pub struct Recorder {
    endpoints: Vec<String>,
    #[serde(skip)]
    places: HashMap<Key, usize>,
    /// Answers by the place of their endpoint, for the display of a run.
    #[serde(skip)]
    served: Vec<u64>,
    cells: Vec<(Key, Cell)>,
    /// Examples of failures, a few of each kind.
    pub examples: Vec<Example>,
    /// How late requests left, in microseconds after they were due.
    pub lag: Times,
    /// How long it took to open a connection, in microseconds.
    pub connect: Times,
    /// What the client did beside sending each request once.
    pub extra: Extra,
    /// The run over time, warm-up included.
    pub windows: Windows,
}

/// What a client did beside sending each request once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extra {
    /// Requests that were sent again on another connection, since the server had refused them without processing them.
    pub resent: u64,
    /// Pauses of users after failures, by `retry-after` or in growing steps.
    pub pauses: u64,
    /// How long they were in all.
    pub paused: Duration,
}

/// A histogram that is there from the start.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Times(#[serde(with = "serial::counts")] pub Histogram<u64>);

impl Default for Times {
    fn default() -> Self {
        Self(histogram())
    }
}

impl Times {
    /// Records a time.
    pub fn record(&mut self, time: Duration) {
        record(&mut self.0, time);
    }
}

fn histogram() -> Histogram<u64> {
    // It grows with the largest value; the number of digits is one that it takes.
    let mut histogram = Histogram::new(DIGITS).unwrap_or_else(|_| unreachable!("{DIGITS} digits"));
    histogram.auto(true);
    histogram
}

fn record(histogram: &mut Histogram<u64>, time: Duration) {
    let us = time.as_micros().min(u128::from(LONGEST_US)) as u64;
    // It grows to any value below its longest one.
    let _ = histogram.record(us);
}

impl Recorder {
    /// A recorder with windows of this length in seconds.
    pub fn with_windows(length_s: f64) -> Self {
        Self {
            windows: Windows::new(length_s),
            ..Self::default()
        }
    }

    /// The names of the endpoints that answered.
    pub fn endpoints(&self) -> &[String] {
        &self.endpoints
    }

    /// All that was measured of some keys.
    pub fn sum(&self, of: impl Fn(&Key) -> bool) -> Cell {
        let mut sum = Cell::default();
        for (_, cell) in self.cells.iter().filter(|(key, _)| of(key)) {
            sum.merge(cell);
        }
        sum
    }

    /// The place of an endpoint; `None` beyond the most that are distinguished.
    pub fn endpoint(&mut self, name: &[u8]) -> Option<usize> {
        let known = self.endpoints.iter().position(|it| it.as_bytes() == name);
        if known.is_some() || self.endpoints.len() >= ENDPOINTS_MAX {
            return known;
        }
        let name = String::from_utf8_lossy(name).into_owned();
        // Bytes that are no text are found again by their replacement only: that is one endpoint more, not a wrong one.
        self.endpoints.push(name);
        Some(self.endpoints.len() - 1)
    }

    /// The place of the cell of a key, for [`Recorder::at`].
    pub fn place(&mut self, key: Key) -> usize {
        *self.places.entry(key).or_insert_with(|| {
            self.cells.push((key, Cell::default()));
            self.cells.len() - 1
        })
    }

    /// Counts an answer of the endpoint of the cell at a place, of the warm-up as well.
    pub fn serves(&mut self, place: Option<usize>) {
        let Some(endpoint) = place.and_then(|place| self.cells[place].0.endpoint) else {
            return;
        };
        if endpoint >= self.served.len() {
            self.served.resize(endpoint + 1, 0);
        }
        self.served[endpoint] += 1;
    }

    /// What was counted so far: tokens, failures by kind, answers by endpoint, and the TTFT.
    pub fn so_far(&self) -> Snapshot {
        let served = self
            .endpoints
            .iter()
            .cloned()
            .zip(self.served.iter().copied());
        Snapshot {
            endpoints: served.filter(|(_, count)| *count > 0).collect(),
            ..self.windows.so_far()
        }
    }

    /// The cell at a place.
    pub fn at(&mut self, place: usize) -> &mut Cell {
        &mut self.cells[place].1
    }

    /// Counts a failure.
    pub fn failed(&mut self, place: usize, request: u64, failed: Failed) {
        let cell = self.at(place);
        cell.requests += 1;
        *cell.failed.entry(failed.kind).or_default() += 1;
        self.keep_example(Example {
            kind: failed.kind,
            request,
            detail: failed.detail,
        });
    }

    /// Adds all that another one has.
    pub fn merge(&mut self, other: Self) {
        let endpoints: Vec<Option<usize>> = other
            .endpoints
            .iter()
            .map(|name| self.endpoint(name.as_bytes()))
            .collect();
        for (key, cell) in other.cells {
            let place = self.place(Key {
                endpoint: key.endpoint.and_then(|endpoint| endpoints[endpoint]),
                ..key
            });
            self.at(place).merge(&cell);
        }
        for example in other.examples {
            self.keep_example(example);
        }
        add(&mut self.lag.0, &other.lag.0);
        add(&mut self.connect.0, &other.connect.0);
        self.extra.resent += other.extra.resent;
        self.extra.pauses += other.extra.pauses;
        self.extra.paused += other.extra.paused;
        self.windows.merge(other.windows);
    }

    fn keep_example(&mut self, example: Example) {
        let of_kind = self.examples.iter().filter(|it| it.kind == example.kind);
        if of_kind.count() < EXAMPLES_MAX {
            self.examples.push(Example {
                detail: conceal(&example.detail).into_owned(),
                ..example
            });
        }
    }
}

impl Cell {
    /// Records a time.
    pub fn record(&mut self, series: Series, time: Duration) {
        let histogram = self.series[series as usize].get_or_insert_with(|| Box::new(histogram()));
        record(histogram, time);
    }

    /// Records times, in microseconds.
    pub fn record_all(&mut self, series: Series, times_us: impl Iterator<Item = u32>) {
        let histogram = self.series[series as usize].get_or_insert_with(|| Box::new(histogram()));
        for us in times_us {
            // As in `record`.
            let _ = histogram.record(us.into());
        }
    }

    /// Adds recorded times.
    pub fn add(&mut self, series: Series, times: &Times) {
        let histogram = self.series[series as usize].get_or_insert_with(|| Box::new(histogram()));
        add(histogram, &times.0);
    }

    /// Requests that never had a time of this series, and so are beyond every limit: those that failed, and streamed answers without a
    /// token.
    pub fn never(&self, series: Series) -> u64 {
        match series {
            Series::Ttfa => self.failures(),
            series if !series.is_per_answer() => 0,
            series if series.needs_stream() => self.failures() + self.textless,
            _ => self.failures(),
        }
    }

    /// The times of a series, in microseconds.
    pub fn series(&self, series: Series) -> Option<&Histogram<u64>> {
        self.series[series as usize].as_deref()
    }

    /// How many failed, of any kind.
    pub fn failures(&self) -> u64 {
        self.failed.values().sum()
    }

    /// Adds all that another one has.
    pub fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        self.answered += other.answered;
        self.good += other.good;
        self.input_tokens += other.input_tokens;
        self.output_tokens += other.output_tokens;
        self.asked_tokens += other.asked_tokens;
        self.textless += other.textless;
        for (own, theirs) in self.remarks.iter_mut().zip(&other.remarks) {
            *own += theirs;
        }
        self.chunks += other.chunks;
        self.together += other.together;
        self.without_usage += other.without_usage;
        for (kind, count) in &other.failed {
            *self.failed.entry(*kind).or_default() += count;
        }
        for (limit, theirs) in &other.gaps {
            self.gaps.entry(*limit).or_default().merge(theirs);
        }
        for (own, theirs) in self.series.iter_mut().zip(&other.series) {
            if let Some(theirs) = theirs {
                add(own.get_or_insert_with(|| Box::new(histogram())), theirs);
            }
        }
    }
}

fn add(into: &mut Histogram<u64>, other: &Histogram<u64>) {
    // Both have the same digits, and one grows to the size of the other.
    let _ = into.add(other);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_loses_nothing_and_matches_endpoints_by_name() {
        let filled = |names: [&str; 2], ms: u64| {
            let mut recorder = Recorder::default();
            for name in names {
                let endpoint = recorder.endpoint(name.as_bytes());
                let place = recorder.place(Key {
                    stage: 0,
                    class: 0,
                    model: 0,
                    endpoint,
                });
                let cell = recorder.at(place);
                cell.requests += 1;
                cell.answered += 1;
                cell.record(Series::E2e, Duration::from_millis(ms));
            }
            let place = recorder.place(Key {
                stage: 0,
                class: 0,
                model: 0,
                endpoint: None,
            });
            recorder.failed(place, 7, Failed::new(Failure::Cut, "gone"));
            recorder
        };
        let mut all = filled(["a", "b"], 10);
        all.merge(filled(["b", "a"], 2000));
        assert_eq!(all.endpoints(), ["a", "b"]);
        let mut whole = Cell::default();
        for (key, cell) in &all.cells {
            if key.endpoint.is_some() {
                assert_eq!(cell.requests, 2);
            }
            whole.merge(cell);
        }
        assert_eq!((whole.requests, whole.answered), (6, 4));
        assert_eq!(whole.failed[&Failure::Cut], 2);
        let e2e = whole.series(Series::E2e).map(|it| (it.len(), it.max()));
        assert!(e2e.is_some_and(|(n, max)| n == 4 && (2_000_000..2_002_000).contains(&max)));
        assert_eq!(all.examples.len(), 2);
    }

    #[test]
    fn a_server_that_invents_names_does_not_fill_the_memory() {
        let mut recorder = Recorder::default();
        for number in 0..5000 {
            recorder.endpoint(format!("pod-{number}").as_bytes());
        }
        assert_eq!(recorder.endpoints().len(), ENDPOINTS_MAX);
        assert_eq!(recorder.endpoint(b"pod-4999"), None);
        assert_eq!(recorder.endpoint(b"pod-3"), Some(3));
    }
}
