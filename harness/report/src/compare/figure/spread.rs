//! Other possible values of a figure, drawn from its distribution.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Beta, Distribution, Normal};
use statrs::distribution::ContinuousCDF;

use poolproof_records::load::Times;
use poolproof_stats::interval::{self, CONFIDENCE};

const DRAWS: usize = 2000;

/// The distribution that other possible values of a figure are drawn from.
#[derive(Clone, Debug)]
pub(in crate::compare) enum Spread<'a> {
    /// A quantile of recorded times, including failures.
    Quantile {
        times: &'a Times,
        failed: u64,
        q: f64,
    },
    /// A share of a number of requests.
    Share(f64, u64),
    /// A value and its interval.
    Interval(f64, (f64, f64)),
    /// Logarithms of values that were drawn already; none if the spread is not known.
    Drawn(Vec<f64>),
}

impl Spread<'_> {
    /// Logarithms of possible values of the figure.
    pub(super) fn draws(&self) -> Vec<f64> {
        match self {
            Self::Quantile { times, failed, q } => quantile_draws(times, *failed, *q),
            Self::Share(share, n) => share_draws(*share, *n),
            Self::Interval(value, interval) => interval_draws(*value, *interval),
            Self::Drawn(values) => values.clone(),
        }
    }
}

fn quantile_draws(times: &Times, failed: u64, q: f64) -> Vec<f64> {
    let mut values: Vec<(u64, f64)> = Vec::new();
    let mut below = 0;
    for (us, count) in &times.histogram_us {
        below += count;
        values.push((below, (*us as f64 / 1000.0).ln()));
    }
    let n = below + failed;
    let rank = interval::rank(n, q) as f64;
    let Ok(law) = Beta::new(rank, n as f64 - rank + 1.0) else {
        return Vec::new();
    };
    let at = |u: f64| {
        let rank = (u * n as f64).floor() as u64;
        let place = values.partition_point(|(below, _)| *below <= rank);
        values.get(place).map_or(f64::INFINITY, |(_, value)| *value)
    };
    draws(law).map(at).collect()
}

fn share_draws(share: f64, n: u64) -> Vec<f64> {
    let (hits, n) = (share * n as f64, n as f64);
    match Beta::new(hits + 0.5, n - hits + 0.5) {
        Ok(law) => draws(law).map(f64::ln).collect(),
        Err(_) => Vec::new(),
    }
}

fn interval_draws(value: f64, (low, high): (f64, f64)) -> Vec<f64> {
    let law = statrs::distribution::Normal::standard();
    let z = law.inverse_cdf(f64::midpoint(1.0, CONFIDENCE));
    let spread = (high.ln() - low.ln()) / (2.0 * z);
    match Normal::new(value.ln(), spread) {
        Ok(law) if spread.is_finite() && value > 0.0 => draws(law).collect(),
        _ => Vec::new(),
    }
}

/// A fixed seed, so that repeated comparisons give the same result.
pub(in crate::compare) fn draws(law: impl Distribution<f64>) -> impl Iterator<Item = f64> {
    let rng = ChaCha8Rng::seed_from_u64(0);
    law.sample_iter(rng).take(DRAWS)
}
