//! A distribution of times that is known by some of its quantiles.

use rand_distr::Beta;
use serde_json::Value;

use super::super::figure::draws;
use crate::foreign::summary::Summary;
use poolproof_model::workload::Series;
use poolproof_records::load::Record;
use poolproof_stats::interval::rank;

/// Fewer known quantiles than this do not tell a spread.
const KNOWN_MIN: usize = 5;

/// Some quantiles of times of answered requests.
#[derive(Clone, Debug)]
pub(super) struct Quantiles {
    /// The number of times.
    n: u64,
    /// Quantiles, 0 to 1, and their times in milliseconds, ascending.
    known: Vec<(f64, f64)>,
}

impl Quantiles {
    /// From an object with one key for each percentile. `unit_ms` is one of its units in milliseconds.
    pub(super) fn read(value: &Value, n: u64, keys: &[(&str, f64)], unit_ms: f64) -> Option<Self> {
        let known = keys.iter().filter_map(|(key, percentile)| {
            let time = value.get(key)?.as_f64()?;
            Some((percentile / 100.0, time * unit_ms))
        });
        let mut known: Vec<(f64, f64)> = known.collect();
        known.sort_by(|a, b| a.0.total_cmp(&b.0));
        (n > 0 && !known.is_empty()).then_some(Self { n, known })
    }

    /// From single times in milliseconds.
    pub(super) fn of_all(mut times_ms: Vec<f64>) -> Option<Self> {
        times_ms.sort_by(f64::total_cmp);
        let n = times_ms.len();
        let at = |number: usize| (number + 1) as f64 / n as f64;
        let known = times_ms.into_iter().enumerate();
        let known = known.map(|(number, ms)| (at(number), ms)).collect();
        (n > 0).then_some(Self { n: n as u64, known })
    }

    /// From a load run, all its classes together.
    pub(super) fn of(record: &Record, series: Series) -> Option<Self> {
        let summary = Summary::of(record, series)?;
        let n: u64 = summary.values().iter().map(|(_, count)| count).sum();
        let mut below = 0;
        let known = summary.values().iter().map(|(ms, count)| {
            below += count;
            (below as f64 / n as f64, *ms)
        });
        let known = known.collect();
        Some(Self { n, known })
    }

    /// The quantile `q` in milliseconds, if `failed` more requests were infinitely late; `None` outside of what is known.
    pub(super) fn at(&self, q: f64, failed: u64) -> Option<f64> {
        let of_answered = q * (self.n + failed) as f64 / self.n as f64;
        if of_answered > 1.0 {
            return Some(f64::INFINITY);
        }
        let next = self
            .known
            .partition_point(|(known, _)| *known < of_answered - 1e-9);
        let (above, ms_above) = *self.known.get(next)?;
        let Some((below, ms_below)) = next.checked_sub(1).map(|it| self.known[it]) else {
            return ((above - of_answered).abs() < 1e-9 || self.is_whole()).then_some(ms_above);
        };
        if self.is_whole() {
            return Some(ms_above);
        }
        let part = (of_answered - below) / (above - below);
        Some(ms_below + part * (ms_above - ms_below))
    }

    /// Whether every time is known, not only some quantiles.
    fn is_whole(&self) -> bool {
        self.known.last().is_some_and(|(q, _)| *q >= 1.0)
            && self.known.len() as u64 * 2 >= self.n.min(200)
    }

    /// Logarithms of other possible values of the quantile `q`, from the law of its order statistic (David and Nagaraja, "Order
    /// Statistics", 2003, section 2.2); none if too little is known.
    pub(super) fn draws(&self, q: f64, failed: u64) -> Vec<f64> {
        let n = self.n + failed;
        let rank = rank(n, q) as f64;
        let Ok(law) = Beta::new(rank, n as f64 - rank + 1.0) else {
            return Vec::new();
        };
        if self.known.len() < KNOWN_MIN {
            return Vec::new();
        }
        let ends = [self.known[0].1, self.known[self.known.len() - 1].1];
        let least = self.known[0].0;
        let drawn = draws(law).map(|u| match self.at(u, failed) {
            Some(ms) => ms.ln(),
            // Outside of the known quantiles the nearest one is all there is.
            None => ends[usize::from(u > least)].ln(),
        });
        drawn.collect()
    }
}
