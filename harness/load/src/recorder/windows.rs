//! Measurements in windows of a run. A request costs a few additions when it starts and when it ends, and nothing per token. Memory
//! depends on the number of windows and on the range of the times in them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::serial;
use crate::failure::Failure;
use poolproof_model::workload::Series;
use poolproof_records::load::over_time::{Window, WindowTimes};
use poolproof_records::load::{Snapshot, Spread};

/// The number of windows in which a run is shown, if it is long enough.
const WINDOWS: f64 = 60.0;
/// The shortest window.
const SHORTEST_S: f64 = 1.0;
/// The most windows that are kept: a run waits for its last answers, however late they are.
const WINDOWS_MAX: usize = 2048;

/// The series that windows have, in the order of [`place_of`].
const SERIES: [Series; 4] = [Series::Ttft, Series::Ttfa, Series::Tpot, Series::E2e];

fn place_of(series: Series) -> Option<usize> {
    match series {
        Series::Ttft => Some(0),
        Series::Ttfa => Some(1),
        Series::Tpot => Some(2),
        Series::E2e => Some(3),
        _ => None,
    }
}

/// The length of the windows of a run whose last request is due after `end_s`, in seconds.
pub fn window_s(end_s: f64) -> f64 {
    // Whole milliseconds: processes that send one run agree on it to the nanosecond.
    ((end_s / WINDOWS).max(SHORTEST_S) * 1000.0).round() / 1000.0
}

/// The windows of one worker, or of several after [`Windows::merge`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Windows {
    /// The length of a window in nanoseconds; 0: nothing is recorded.
    length_ns: u64,
    /// The last moment of which something is known, from the start.
    end_ns: u64,
    slots: Vec<Slot>,
    #[serde(skip)]
    clock: Option<Clock>,
}

/// What runs while a worker measures.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Clock {
    start: Instant,
    /// Requests in flight since `since_ns`.
    in_flight: u64,
    since_ns: u64,
    /// The window of `since_ns`: its place, its begin and its end.
    current: (usize, u64, u64),
}

/// One window.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Slot {
    started: u64,
    answered: u64,
    #[serde(with = "serial::pairs")]
    failed: BTreeMap<Failure, u64>,
    /// Streamed answers without a first token.
    textless: u64,
    output_tokens: u64,
    /// The time that all requests together were in flight.
    in_flight_ns: u64,
    spreads: [Spread; SERIES.len()],
}

/// A good answer, as windows count it.
#[derive(Clone, Copy, Debug)]
pub struct Good<'a> {
    /// Its tokens.
    pub output_tokens: u64,
    /// The moments of its first and last token, if it was streamed.
    pub tokens: Option<(Instant, Instant)>,
    /// Whether it was streamed without a token.
    pub is_textless: bool,
    /// Its times.
    pub times: &'a [Option<(Series, Duration)>],
}

impl Windows {
    /// Windows of this length in seconds.
    pub fn new(length_s: f64) -> Self {
        Self {
            length_ns: Duration::from_secs_f64(length_s).as_nanos() as u64,
            ..Self::default()
        }
    }

    /// Sets the moment from which offsets count.
    pub fn begin(&mut self, start: Instant) {
        self.clock = Some(Clock {
            start,
            in_flight: 0,
            since_ns: 0,
            current: (0, 0, self.length_ns),
        });
    }

    /// Counts a request that starts.
    pub fn started(&mut self, at: Instant) {
        if let Some(at_ns) = self.advance(at) {
            self.at(at_ns).started += 1;
            self.change_in_flight(1);
        }
    }

    /// Counts a request that got a good answer.
    pub fn answered(&mut self, at: Instant, good: Good<'_>) {
        let Some(at_ns) = self.advance(at) else {
            return;
        };
        self.change_in_flight(-1);
        let first_ns = good.tokens.and_then(|(first, _)| self.offset_ns(first));
        let of_first = first_ns.unwrap_or(at_ns);
        for (series, time) in good.times.iter().flatten() {
            let Some(place) = place_of(*series) else {
                continue;
            };
            let seen_ns = if *series == Series::Ttft {
                of_first
            } else {
                at_ns
            };
            self.at(seen_ns).spreads[place].record(time.as_micros() as u64);
        }
        let last_ns = good.tokens.and_then(|(_, last)| self.offset_ns(last));
        self.spread_tokens(good.output_tokens, of_first, last_ns.unwrap_or(at_ns));
        let slot = self.at(at_ns);
        slot.answered += 1;
        slot.textless += u64::from(good.is_textless);
    }

    /// Counts a request that failed.
    pub fn failed(&mut self, at: Instant, kind: Failure) {
        if let Some(at_ns) = self.advance(at) {
            self.change_in_flight(-1);
            *self.at(at_ns).failed.entry(kind).or_default() += 1;
        }
    }

    /// Ends the measurement: requests that have not ended are in flight until now.
    pub fn end(&mut self, at: Instant) {
        self.advance(at);
        self.clock = None;
    }

    /// What was counted so far: tokens, failures by kind, and the TTFT.
    pub fn so_far(&self) -> Snapshot {
        let mut all = Slot::default();
        self.slots.iter().for_each(|slot| all.merge(slot));
        let [ttfts, ..] = all.spreads;
        Snapshot {
            output_tokens: all.output_tokens,
            failures: named(&all.failed),
            ttfts,
            ..Snapshot::default()
        }
    }

    /// Adds all that another one has. Both have windows of one length, or this one is empty.
    pub fn merge(&mut self, other: Self) {
        if self.length_ns == 0 {
            *self = other;
            return;
        }
        self.end_ns = self.end_ns.max(other.end_ns);
        if self.slots.len() < other.slots.len() {
            self.slots.resize_with(other.slots.len(), Slot::default);
        }
        for (own, theirs) in self.slots.iter_mut().zip(&other.slots) {
            own.merge(theirs);
        }
    }

    /// The length of a window, in seconds.
    pub fn length_s(&self) -> f64 {
        self.length_ns as f64 / 1e9
    }

    /// The windows as a record has them. A last one that is shorter than half of the others is part of the one before.
    pub fn windows(&self) -> Vec<Window> {
        if self.length_ns == 0 {
            return Vec::new();
        }
        let count = self.slots.len().max(self.index(self.end_ns) + 1);
        let mut slots = self.slots.clone();
        slots.resize_with(count, Slot::default);
        let rest_ns = self.end_ns.saturating_sub(self.at_ns(count - 1));
        if count > 1 && rest_ns < self.length_ns / 2 {
            let last = slots.pop().unwrap_or_default();
            if let Some(before) = slots.last_mut() {
                before.merge(&last);
            }
        }
        // A series that no answer has, such as the TTFT of answers that are not streamed, is in no window, failures or not.
        let mut all = Slot::default();
        slots.iter().for_each(|slot| all.merge(slot));
        let ends = (1..slots.len()).map(|place| self.at_ns(place));
        let ends = ends.chain([self.end_ns]);
        let windows = slots.iter().zip(ends).enumerate();
        windows
            .map(|(place, (slot, end_ns))| {
                let at_ns = self.at_ns(place);
                slot.window(at_ns, end_ns.saturating_sub(at_ns), &all)
            })
            .collect()
    }

    /// Nanoseconds from the start to a moment.
    fn offset_ns(&self, at: Instant) -> Option<u64> {
        let start = self.clock?.start;
        Some(at.saturating_duration_since(start).as_nanos() as u64)
    }

    fn index(&self, offset_ns: u64) -> usize {
        // Nearly all that is counted belongs to the current window: no division is needed.
        if let Some(Clock {
            current: (index, from_ns, to_ns),
            ..
        }) = self.clock
            && (from_ns..to_ns).contains(&offset_ns)
        {
            return index;
        }
        ((offset_ns / self.length_ns.max(1)) as usize).min(WINDOWS_MAX - 1)
    }

    fn at_ns(&self, index: usize) -> u64 {
        index as u64 * self.length_ns
    }

    fn at(&mut self, offset_ns: u64) -> &mut Slot {
        let index = self.index(offset_ns);
        self.slot(index)
    }

    fn slot(&mut self, index: usize) -> &mut Slot {
        if index >= self.slots.len() {
            self.slots.resize_with(index + 1, Slot::default);
        }
        &mut self.slots[index]
    }

    /// Accounts for the requests in flight until a moment. Returns its offset; `None` if nothing is recorded.
    fn advance(&mut self, at: Instant) -> Option<u64> {
        if self.length_ns == 0 {
            return None;
        }
        let at_ns = self.offset_ns(at)?;
        let Clock {
            in_flight,
            mut since_ns,
            ..
        } = self.clock?;
        self.end_ns = self.end_ns.max(at_ns);
        while in_flight > 0 && since_ns < at_ns {
            let index = self.index(since_ns);
            let end_ns = if index == WINDOWS_MAX - 1 {
                at_ns
            } else {
                at_ns.min(self.at_ns(index + 1))
            };
            self.slot(index).in_flight_ns += in_flight * (end_ns - since_ns);
            since_ns = end_ns;
        }
        let index = self.index(self.end_ns);
        let current = (index, self.at_ns(index), self.at_ns(index + 1));
        if let Some(clock) = &mut self.clock {
            clock.since_ns = clock.since_ns.max(at_ns);
            clock.current = current;
        }
        Some(at_ns)
    }

    fn change_in_flight(&mut self, change: i64) {
        if let Some(clock) = &mut self.clock {
            clock.in_flight = clock.in_flight.saturating_add_signed(change);
        }
    }

    /// Spreads the tokens of an answer evenly between its first and its last one.
    fn spread_tokens(&mut self, tokens: u64, first_ns: u64, last_ns: u64) {
        let (first, last) = (self.index(first_ns), self.index(last_ns));
        if first >= last {
            self.slot(last).output_tokens += tokens;
            return;
        }
        let length_ns = (last_ns - first_ns) as f64;
        let mut given = 0;
        for index in first..=last {
            let until = if index == last {
                tokens
            } else {
                let part = (self.at_ns(index + 1) - first_ns) as f64 / length_ns;
                (tokens as f64 * part).round() as u64
            };
            self.slot(index).output_tokens += until - given;
            given = until;
        }
    }
}

impl Slot {
    fn merge(&mut self, other: &Self) {
        self.started += other.started;
        self.answered += other.answered;
        self.textless += other.textless;
        self.output_tokens += other.output_tokens;
        self.in_flight_ns += other.in_flight_ns;
        for (kind, count) in &other.failed {
            *self.failed.entry(*kind).or_default() += count;
        }
        for (own, theirs) in self.spreads.iter_mut().zip(&other.spreads) {
            own.merge(theirs);
        }
    }

    fn window(&self, at_ns: u64, length_ns: u64, all: &Self) -> Window {
        let failures: u64 = self.failed.values().sum();
        let seen = all.spreads.iter().map(|spread| !spread.is_empty());
        let times = SERIES.iter().zip(&self.spreads).zip(seen);
        let times = times.filter(|(_, seen)| *seen);
        let times = times.filter_map(|((series, spread), _)| {
            // As in `Cell::never`.
            let never = match series {
                Series::Ttft | Series::Tpot => failures + self.textless,
                _ => failures,
            };
            let of = |percentile| spread.percentile_ms(percentile, never);
            let times = WindowTimes {
                n: spread.len(),
                p50_ms: of(50.0),
                p90_ms: of(90.0),
                p95_ms: of(95.0),
                p99_ms: of(99.0),
            };
            (times.n + never > 0).then(|| (series.name().to_owned(), times))
        });
        Window {
            at_s: at_ns as f64 / 1e9,
            length_s: length_ns as f64 / 1e9,
            started: self.started,
            answered: self.answered,
            failed: named(&self.failed),
            output_tokens: self.output_tokens,
            in_flight: self.in_flight_ns as f64 / length_ns.max(1) as f64,
            times: times.collect(),
        }
    }
}

/// Counts by the names of their kinds.
fn named(failed: &BTreeMap<Failure, u64>) -> BTreeMap<String, u64> {
    let named = failed.iter();
    named
        .map(|(kind, count)| (kind.to_string(), *count))
        .collect()
}

#[cfg(test)]
mod tests;
