//! Percentiles that include failures: a failed request is infinitely late.

use hdrhistogram::Histogram;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use poolproof_stats::interval;

/// A time in milliseconds; `None` is infinitely late.
pub type Ms = Option<f64>;

/// A percentile of a sample that supports it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Percentile {
    /// The percentile, such as 99.
    pub percentile: f64,
    /// The value in the sample.
    pub ms: Ms,
    /// The confidence interval of the true value at 95 %, from two order statistics.
    pub interval_ms: (Ms, Ms),
}

/// A percentile over recorded times and failures. Returns `None` if the sample is too small (p99 under 1,000, p99.9
/// under 10,000).
pub fn percentile(times_us: &Histogram<u64>, failed: u64, percentile: f64) -> Option<Percentile> {
    let ranks = interval::ranks(times_us.len() + failed, percentile / 100.0)?;
    let (low, high) = ranks.interval;
    Some(Percentile {
        percentile,
        ms: at_rank(times_us, ranks.at),
        interval_ms: (at_rank(times_us, low), at_rank(times_us, high)),
    })
}

/// A percentile of recorded times, in milliseconds, however few they are; `None` if there are none.
pub fn of_any_sample(times_us: &Histogram<u64>, percentile: f64) -> Ms {
    at_rank(times_us, interval::rank(times_us.len(), percentile / 100.0))
}

/// The value of this rank, counted from 1, in milliseconds; `None` if it is a failure.
pub fn at_rank(times_us: &Histogram<u64>, rank: u64) -> Ms {
    let answered = times_us.len();
    (rank <= answered).then(|| {
        // Half a rank lower, so that rounding never reaches the next rank.
        let quantile = (rank.max(1) as f64 - 0.5) / answered as f64;
        times_us.value_at_quantile(quantile) as f64 / 1000.0
    })
}

/// The number of values above a limit in milliseconds. Values recorded in the same bucket as the limit meet it.
pub fn above(times_us: &Histogram<u64>, limit_ms: f64) -> u64 {
    let limit_us = (limit_ms * 1000.0).round() as u64;
    let highest = times_us.highest_equivalent(limit_us);
    times_us.len() - times_us.count_between(0, highest).min(times_us.len())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use poolproof_stats::interval::quantile;

    fn histogram(values: impl IntoIterator<Item = u64>) -> Histogram<u64> {
        let mut histogram = Histogram::new(3).unwrap();
        histogram.auto(true);
        for value in values {
            histogram.record(value).unwrap();
        }
        histogram
    }

    #[test]
    fn percentiles_are_those_of_the_sorted_sample() {
        let values: Vec<u64> = (0..1500).map(|number| (number * 37) % 1500).collect();
        let times = histogram(values.iter().copied());
        let exact: Vec<f64> = values.iter().map(|us| *us as f64 / 1000.0).collect();
        for p in [50.0, 95.0, 99.0] {
            let wanted = quantile(&exact, p / 100.0).unwrap();
            let found = percentile(&times, 0, p).unwrap();
            assert_eq!(found.ms, Some(wanted.value), "p{p}");
            let (low, high) = wanted.interval;
            assert_eq!(found.interval_ms, (Some(low), Some(high)), "p{p}");
        }
    }

    #[test]
    fn a_failure_is_later_than_any_answer() {
        let times = histogram((0..950).map(|_| 1500));
        let p90 = percentile(&times, 50, 90.0).unwrap();
        assert_eq!(p90.ms, Some(1.5));
        let p99 = percentile(&times, 50, 99.0).unwrap();
        assert_eq!((p99.ms, p99.interval_ms), (None, (None, None)));
        let p95 = percentile(&times, 50, 95.0).unwrap();
        assert_eq!((p95.ms, p95.interval_ms.1), (Some(1.5), None));
    }

    #[test]
    fn a_small_sample_supports_no_high_percentile() {
        let times = histogram(1..=999);
        assert!(percentile(&times, 0, 99.0).is_none());
        assert!(percentile(&times, 1, 99.0).is_some());
        assert!(percentile(&times, 9000, 99.9).is_none());
        assert!(percentile(&times, 9001, 99.9).is_some());
        assert!(percentile(&histogram([]), 0, 50.0).is_none());
    }

    #[test]
    fn a_value_equal_to_the_limit_meets_it() {
        let times = histogram([99_900, 100_000, 100_200, 200_000]);
        assert_eq!(above(&times, 100.0), 2);
        assert_eq!(above(&times, 1000.0), 0);
        assert_eq!(above(&times, 0.0), 4);
    }
}
