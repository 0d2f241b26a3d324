//! Confidence intervals: inverted exact tests for shares, order statistics for quantiles and shifts.

use std::fmt;

use statrs::distribution::{Binomial, ContinuousCDF, DiscreteCDF, Normal, StudentsT};

/// The confidence level of all intervals.
pub const CONFIDENCE: f64 = 0.95;

/// The shares that are consistent with the observed one, at this confidence. `tails` returns the chances, for a share,
/// of at most and of at least the observation. Both the intervals of Clopper and Pearson 1934 and those after a
/// sequential test use it.
pub fn invert(observed: f64, confidence: f64, tails: impl Fn(f64) -> (f64, f64)) -> (f64, f64) {
    let tail = (1.0 - confidence) / 2.0;
    let low = search(0.0, observed, |share| tails(share).1 > tail);
    let high = search(observed, 1.0, |share| tails(share).0 <= tail);
    (low, high)
}

/// The point between `low` and `high` where `holds` becomes true; `high` if it never does.
fn search(mut low: f64, mut high: f64, holds: impl Fn(f64) -> bool) -> f64 {
    const PRECISION: f64 = 1e-7;
    if holds(low) {
        return low;
    }
    while high - low > PRECISION {
        let middle = f64::midpoint(low, high);
        if holds(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    high
}

/// A quantile of a sample, and the confidence interval of the true one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantile {
    /// The quantile of the sample.
    pub value: f64,
    /// From an order statistic below it to one above it.
    pub interval: (f64, f64),
}

impl fmt::Display for Quantile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(2);
        let (low, high) = self.interval;
        write!(
            f,
            "{:.digits$} ({low:.digits$} to {high:.digits$})",
            self.value
        )
    }
}

/// The number of values above a quantile that a sample needs to support it: 1,000 values for p99, 10,000 for p99.9.
pub const BEYOND_MIN: f64 = 10.0;

/// The rank, counted from 1, of the quantile `q` of `n` values: that of the smallest value which a share `q` of them does not exceed.
pub fn rank(n: u64, q: f64) -> u64 {
    // A product such as 100 * 0.55 lies an ulp or two above its whole number.
    let exact = n as f64 * q * (1.0 - 4.0 * f64::EPSILON);
    (exact.ceil() as u64).clamp(1, n.max(1))
}

/// Ranks in a sorted sample, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ranks {
    /// That of the quantile.
    pub at: u64,
    /// Those of the order statistics that cover the true quantile at [`CONFIDENCE`].
    pub interval: (u64, u64),
}

/// The ranks of a quantile and of the order statistics around it (David and Nagaraja, "Order Statistics", 2003, section 7.1); `None` if
/// `n` values cannot support it.
pub fn ranks(n: u64, q: f64) -> Option<Ranks> {
    if (n as f64) * q.min(1.0 - q) < BEYOND_MIN - 1e-9 {
        return None;
    }
    let law = Binomial::new(q, n).ok()?;
    let tail = (1.0 - CONFIDENCE) / 2.0;
    Some(Ranks {
        at: rank(n, q),
        interval: (
            law.inverse_cdf(tail).max(1),
            (law.inverse_cdf(1.0 - tail) + 1).min(n),
        ),
    })
}

/// A quantile of values in any order, with its interval; `None` if the sample cannot support it.
pub fn quantile(values: &[f64], q: f64) -> Option<Quantile> {
    let ranks = ranks(values.len() as u64, q)?;
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |rank: u64| sorted.get(rank as usize - 1).copied();
    Some(Quantile {
        value: at(ranks.at)?,
        interval: (at(ranks.interval.0)?, at(ranks.interval.1)?),
    })
}

/// The mean of values, and its interval by Student's t. `None` for fewer than two values.
pub fn mean(values: &[f64]) -> Option<Quantile> {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let law = StudentsT::new(0.0, 1.0, n - 1.0).ok()?;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let error = (squares / (n - 1.0) / n).sqrt();
    let reach = law.inverse_cdf(f64::midpoint(1.0, CONFIDENCE)) * error;
    Some(Quantile {
        value: mean,
        interval: (mean - reach, mean + reach),
    })
}

/// The shift of the second sample above the first: the median of all differences (Hodges and Lehmann 1963), with the
/// interval of Lehmann, "Nonparametrics", 1975, section 2.5. Returns `None` if a sample is empty.
pub fn shift(first: &[f64], second: &[f64]) -> Option<Quantile> {
    let differences = second.iter().flat_map(|b| first.iter().map(move |a| b - a));
    let mut sorted: Vec<f64> = differences.collect();
    sorted.sort_by(f64::total_cmp);
    let (m, n) = (first.len() as f64, second.len() as f64);
    let z = Normal::standard().inverse_cdf(f64::midpoint(1.0, CONFIDENCE));
    let below = (m * n / 2.0 - z * (m * n * (m + n + 1.0) / 12.0).sqrt()).max(0.0) as usize;
    let last = sorted.len().checked_sub(1)?;
    Some(Quantile {
        value: f64::midpoint(sorted[last / 2], sorted[sorted.len() / 2]),
        interval: (sorted[below.min(last)], sorted[last - below.min(last)]),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn clopper_and_pearson_of_a_textbook_sample() {
        // 5 of 60: 0.0276 to 0.1839 (R, binom.test).
        let tails = |p: f64| {
            let law = Binomial::new(p, 60).unwrap();
            (law.cdf(5), law.sf(4))
        };
        let (low, high) = invert(5.0 / 60.0, CONFIDENCE, tails);
        assert!(
            (low - 0.0276).abs() < 1e-3 && (high - 0.1839).abs() < 1e-3,
            "{low} {high}"
        );
    }

    #[test]
    fn a_quantile_that_the_sample_cannot_support_is_refused() {
        let values = |n: u32| (1..=n).map(f64::from).collect::<Vec<f64>>();
        assert_eq!(quantile(&values(999), 0.99), None);
        assert_eq!(quantile(&values(9_999), 0.999), None);
        let p99 = quantile(&values(1_000), 0.99).unwrap();
        // With 1,000 values, the chance is 0.0138 that 982 or fewer lie below the true p99, and 0.9899 that 996 or
        // fewer do.
        assert_eq!((p99.value, p99.interval), (990.0, (983.0, 997.0)));
        let p50 = quantile(&values(100), 0.5).unwrap();
        assert_eq!((p50.value, p50.interval), (50.0, (40.0, 61.0)));
    }

    #[test]
    fn the_rank_of_a_quantile_is_that_of_exact_arithmetic() {
        for n in 1..=3000_u64 {
            for percent in 1..=99_u64 {
                let wanted = (n * percent).div_ceil(100);
                assert_eq!(rank(n, percent as f64 / 100.0), wanted, "p{percent} of {n}");
            }
            assert_eq!(rank(n, 99.9 / 100.0), (n * 999).div_ceil(1000), "of {n}");
        }
        assert_eq!((rank(0, 0.5), rank(7, 0.0), rank(7, 1.0)), (1, 1, 7));
    }

    #[test]
    fn the_interval_of_a_mean_is_that_of_students_t() {
        // t(4) at 0.975 is 2.7764 (tables).
        let found = mean(&[1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
        assert!((found.value - 3.0).abs() < 1e-9);
        let reach = found.interval.1 - found.value;
        assert!((reach - 2.7764 * (0.5_f64).sqrt()).abs() < 1e-3, "{reach}");
        assert_eq!((mean(&[]), mean(&[1.0])), (None, None));
    }

    #[test]
    fn a_shift_is_found_with_an_interval_around_it() {
        let first: Vec<f64> = (0..40).map(f64::from).collect();
        let second: Vec<f64> = first.iter().map(|value| value + 5.0).collect();
        let found = shift(&first, &second).unwrap();
        assert!((found.value - 5.0).abs() < 1e-9);
        assert!(found.interval.0 < 5.0 && found.interval.1 > 5.0);
        assert_eq!(shift(&[], &[1.0]), None);
    }
}
