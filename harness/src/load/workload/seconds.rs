//! How long, in seconds, where it differs from time to time.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rand::{Rng, RngExt};
use rand_distr::{Distribution, LogNormal};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The longest time, in seconds: a day.
const SECONDS_MAX: f64 = 86_400.0;

/// The 0.95 quantile of the standard normal distribution.
const Z_95: f64 = 1.644_853_626_951_472_7;

/// A time in seconds, drawn each time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    untagged,
    deny_unknown_fields,
    expecting = "expected a number, { from, to } or { median, p95 }"
)]
pub enum Seconds {
    /// Always the same.
    Fixed(f64),
    /// Any time between these, equally likely.
    Uniform {
        /// The shortest.
        from: f64,
        /// The longest.
        to: f64,
    },
    /// Many short ones and a few long ones: a log-normal distribution.
    LogNormal {
        /// Half are shorter.
        median: f64,
        /// One in twenty is longer.
        p95: f64,
    },
}

impl Default for Seconds {
    fn default() -> Self {
        Self::Fixed(0.0)
    }
}

impl Seconds {
    /// Fails on times that cannot be drawn; `name` is the key of the workload.
    pub fn check(&self, name: &str) -> Result<()> {
        let within = |seconds: f64| (0.0..=SECONDS_MAX).contains(&seconds);
        match *self {
            Self::Fixed(seconds) => ensure!(
                within(seconds),
                "`{name}` is {seconds}: must be 0 to {SECONDS_MAX}"
            ),
            Self::Uniform { from, to } => ensure!(
                within(from) && within(to) && from <= to,
                "`{name}`: `from` is {from} and `to` is {to}: must be 0 to {SECONDS_MAX}, `to` not below `from`"
            ),
            Self::LogNormal { median, p95 } => {
                ensure!(
                    median > 0.0 && median < p95 && within(p95),
                    "`{name}`: `median` is {median} and `p95` is {p95}: must be above 0, {SECONDS_MAX} at most, `p95` above `median`"
                );
                log_normal(median, p95).with_context(|| format!("`{name}`"))?;
            }
        }
        Ok(())
    }

    /// Draws one.
    pub fn draw(&self, rng: &mut impl Rng) -> Duration {
        let seconds = match *self {
            Self::Fixed(seconds) => seconds,
            Self::Uniform { from, to } => rng.random_range(from..=to),
            // It was checked.
            Self::LogNormal { median, p95 } => {
                log_normal(median, p95).map_or(0.0, |law| law.sample(rng).min(SECONDS_MAX))
            }
        };
        Duration::from_secs_f64(seconds)
    }
}

/// The log-normal distribution with this median and this 0.95 quantile.
pub(super) fn log_normal(median: f64, p95: f64) -> Result<LogNormal<f64>> {
    let sigma = (p95 / median).ln() / Z_95;
    LogNormal::new(median.ln(), sigma).context("no log-normal distribution has these")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn times_have_the_law_that_was_asked_for() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut drawn = |text: &str| {
            let law: Seconds = toml::from_str::<toml::Table>(&format!("t = {text}")).unwrap()["t"]
                .clone()
                .try_into()
                .unwrap();
            law.check("t").unwrap();
            let mut drawn: Vec<f64> = (0..10_000)
                .map(|_| law.draw(&mut rng).as_secs_f64())
                .collect();
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
    fn nonsense_is_refused_by_name() {
        for law in [
            Seconds::Fixed(-1.0),
            Seconds::Fixed(f64::NAN),
            Seconds::Uniform { from: 2.0, to: 1.0 },
            Seconds::LogNormal {
                median: 0.0,
                p95: 1.0,
            },
        ] {
            let message = law.check("think_time_s").unwrap_err().to_string();
            assert!(message.contains("think_time_s"), "{message}");
        }
    }
}
