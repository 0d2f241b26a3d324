//! A random number: tokens of a prompt or a response, turns of a session, a time in seconds.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, Error, Result, ensure};
use rand::distr::uniform::SampleUniform;
use rand::{Rng, RngExt};
use rand_distr::{Distribution as _, LogNormal, Normal};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The 0.95 quantile of the standard normal distribution.
const Z_95: f64 = 1.644_853_626_951_472_7;

/// A number with a distribution.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    untagged,
    deny_unknown_fields,
    expecting = "expected a number, { from, to }, { mean, deviation } or { median, p95 }"
)]
pub enum Distribution<T> {
    /// A constant.
    Fixed(T),
    /// A uniform distribution.
    Uniform {
        /// The smallest.
        from: T,
        /// The largest.
        to: T,
    },
    /// A normal distribution. Values below the smallest allowed one become that one.
    Normal {
        /// The mean.
        mean: f64,
        /// The standard deviation.
        deviation: f64,
    },
    /// A log-normal distribution: many small values and a few large ones.
    LogNormal {
        /// The median.
        median: f64,
        /// The 95th percentile.
        p95: f64,
    },
}

/// A count of at least 1.
pub type Count = Distribution<u32>;

/// A time in seconds, at most a day.
pub type Seconds = Distribution<f64>;

/// A type of number that can be drawn.
pub trait Number: Copy + PartialOrd + SampleUniform + Into<f64> {
    /// The smallest allowed value.
    const MIN: f64;
    /// The largest allowed value.
    const MAX: f64;

    /// The number nearest to a value within [`Number::MIN`] and [`Number::MAX`].
    fn nearest(value: f64) -> Self;
}

impl Number for u32 {
    const MIN: f64 = 1.0;
    const MAX: f64 = (1 << 20) as f64;

    fn nearest(value: f64) -> Self {
        value.round() as u32
    }
}

impl Number for f64 {
    const MIN: f64 = 0.0;
    const MAX: f64 = 86_400.0;

    fn nearest(value: f64) -> Self {
        value
    }
}

impl Default for Seconds {
    fn default() -> Self {
        Self::Fixed(0.0)
    }
}

impl<T: Number> Distribution<T> {
    /// Fails on invalid parameters. `name` is the key in the workload.
    pub fn check(&self, name: &str) -> Result<()> {
        let (min, max) = (T::MIN, T::MAX);
        let within = |number: f64| (min..=max).contains(&number);
        match *self {
            Self::Fixed(number) => {
                let number = number.into();
                ensure!(
                    within(number),
                    "`{name}` is {number}: must be {min} to {max}"
                );
            }
            Self::Uniform { from, to } => {
                let (from, to) = (from.into(), to.into());
                ensure!(
                    within(from) && within(to) && from <= to,
                    "`{name}`: `from` is {from} and `to` is {to}: must be {min} to {max}, `to` not below `from`"
                );
            }
            Self::Normal { mean, deviation } => ensure!(
                within(mean) && deviation >= 0.0 && deviation <= max,
                "`{name}`: `mean` is {mean} and `deviation` is {deviation}: `mean` must be {min} to {max}, `deviation` 0 to {max}"
            ),
            Self::LogNormal { median, p95 } => {
                ensure!(
                    median > 0.0 && within(median) && within(p95) && median < p95,
                    "`{name}`: `median` is {median} and `p95` is {p95}: must be {min} to {max}, `median` above 0 and `p95` above it"
                );
                log_normal(median, p95).with_context(|| format!("`{name}`"))?;
            }
        }
        Ok(())
    }

    /// Draws a number.
    pub fn draw(&self, rng: &mut impl Rng) -> T {
        match *self {
            Self::Fixed(number) => number,
            Self::Uniform { from, to } => rng.random_range(from..=to),
            // `check` refuses parameters without a distribution, here and below.
            Self::Normal { mean, deviation } => {
                let drawn = Normal::new(mean, deviation).map_or(mean, |law| law.sample(rng));
                T::nearest(drawn.clamp(T::MIN, T::MAX))
            }
            Self::LogNormal { median, p95 } => {
                let drawn = log_normal(median, p95).map_or(T::MIN, |law| law.sample(rng));
                T::nearest(drawn.clamp(T::MIN, T::MAX))
            }
        }
    }
}

impl Count {
    /// The largest number that can be drawn.
    pub fn most(&self) -> u32 {
        match *self {
            Self::Fixed(count) => count,
            Self::Uniform { to, .. } => to,
            Self::Normal { .. } | Self::LogNormal { .. } => <u32 as Number>::MAX as u32,
        }
    }
}

impl FromStr for Count {
    type Err = Error;

    /// Reads a number of tokens as the command line has it: `1000`, or `200:20` for mean and standard deviation.
    fn from_str(text: &str) -> Result<Self> {
        let read = match text.split_once(':') {
            None => text.parse().ok().map(Self::Fixed),
            Some((mean, deviation)) => mean
                .parse()
                .ok()
                .zip(deviation.parse().ok())
                .map(|(mean, deviation)| Self::Normal { mean, deviation }),
        };
        let count = read.with_context(|| {
            format!("{text:?} is no number of tokens: must be one such as 1000, or mean:deviation such as 200:20")
        })?;
        count.check("tokens")?;
        Ok(count)
    }
}

impl<T: fmt::Display> fmt::Display for Distribution<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(number) => write!(f, "{number}"),
            Self::Uniform { from, to } => write!(f, "{from} to {to}"),
            Self::Normal { mean, deviation } => write!(f, "{mean} ± {deviation}"),
            Self::LogNormal { median, p95 } => write!(f, "{median} (p95 {p95})"),
        }
    }
}

/// The log-normal distribution with this median and this 0.95 quantile.
fn log_normal(median: f64, p95: f64) -> Result<LogNormal<f64>> {
    let sigma = (p95 / median).ln() / Z_95;
    LogNormal::new(median.ln(), sigma).context("no log-normal distribution has this median and p95")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn a_log_normal_count_has_its_median_and_its_p95() {
        let law = Count::LogNormal {
            median: 200.0,
            p95: 1000.0,
        };
        law.check("input_tokens").unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut drawn: Vec<u32> = (0..100_000).map(|_| law.draw(&mut rng)).collect();
        drawn.sort_unstable();
        // Five standard errors of these order statistics are 2.0 % and 3.3 %.
        assert!((f64::from(drawn[50_000]) / 200.0 - 1.0).abs() < 0.025);
        assert!((f64::from(drawn[95_000]) / 1000.0 - 1.0).abs() < 0.04);
    }

    #[test]
    fn a_normal_count_has_its_mean_and_its_deviation_and_is_never_below_one() {
        let law: Count = "200:20".parse().unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let drawn: Vec<f64> = (0..10_000).map(|_| f64::from(law.draw(&mut rng))).collect();
        let mean = drawn.iter().sum::<f64>() / 10_000.0;
        let variance = drawn.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 10_000.0;
        // Five standard errors.
        assert!((mean - 200.0).abs() < 1.0 && (variance.sqrt() - 20.0).abs() < 0.71);
        let wide: Count = "2:50".parse().unwrap();
        assert!((0..1000).all(|_| wide.draw(&mut rng) >= 1));
        assert_eq!("7".parse::<Count>().unwrap(), Count::Fixed(7));
        for wrong in ["", "x", "0", "200:", "200:-1", "5:nan", "1e9:2"] {
            assert!(wrong.parse::<Count>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn times_have_the_requested_distribution() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut drawn = |text: &str| {
            let law: Seconds = toml::from_str::<toml::Table>(&format!("t = {text}")).unwrap()["t"]
                .clone()
                .try_into()
                .unwrap();
            law.check("t").unwrap();
            let mut drawn: Vec<f64> = (0..10_000).map(|_| law.draw(&mut rng)).collect();
            drawn.sort_unstable_by(f64::total_cmp);
            (drawn[0], drawn[5000], drawn[9500], drawn[9999])
        };
        assert_eq!(drawn("0.25"), (0.25, 0.25, 0.25, 0.25));
        let (first, median, p95, last) = drawn("{ from = 1, to = 3 }");
        assert!(first >= 1.0 && last <= 3.0);
        // Five standard errors of the order statistics of 10,000.
        assert!((median - 2.0).abs() < 0.05 && (p95 - 2.9).abs() < 0.03);
        let (_, median, p95, _) = drawn("{ median = 2.0, p95 = 8.0 }");
        assert!((median / 2.0 - 1.0).abs() < 0.055 && (p95 / 8.0 - 1.0).abs() < 0.1);
    }

    #[test]
    fn impossible_distributions_are_errors_that_name_the_key() {
        let refusal = |checked: Result<()>| checked.unwrap_err().to_string();
        let log_normal = |median, p95| Distribution::LogNormal { median, p95 };
        for law in [
            Count::Fixed(0),
            Count::Uniform { from: 5, to: 4 },
            log_normal(9.0, 9.0),
            log_normal(0.5, 9.0),
        ] {
            let message = refusal(law.check("output_tokens"));
            assert!(message.contains("output_tokens"), "{message}");
        }
        for law in [
            Seconds::Fixed(-1.0),
            Seconds::Fixed(f64::NAN),
            Seconds::Uniform { from: 2.0, to: 1.0 },
            log_normal_s(0.0, 1.0),
        ] {
            let message = refusal(law.check("think_time_s"));
            assert!(message.contains("think_time_s"), "{message}");
        }
    }

    fn log_normal_s(median: f64, p95: f64) -> Seconds {
        Seconds::LogNormal { median, p95 }
    }
}
