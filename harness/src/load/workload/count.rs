//! How many: tokens of a prompt or an answer, turns of a session.

use anyhow::{Context, Result, ensure};
use rand::{Rng, RngExt};
use rand_distr::Distribution;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::seconds::log_normal;

/// The most that may be asked for.
const COUNT_MAX: u32 = 1 << 20;

/// A number, drawn each time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    untagged,
    deny_unknown_fields,
    expecting = "expected a number, { from, to } or { median, p95 }"
)]
pub enum Count {
    /// Always the same.
    Fixed(u32),
    /// Any of these, equally likely.
    Uniform {
        /// The smallest.
        from: u32,
        /// The largest.
        to: u32,
    },
    /// Many small ones and a few large ones: a log-normal distribution.
    LogNormal {
        /// Half are smaller.
        median: f64,
        /// One in twenty is larger.
        p95: f64,
    },
}

impl Count {
    /// Fails on counts that cannot be drawn; `name` is the key of the workload.
    pub fn check(&self, name: &str) -> Result<()> {
        let within = |count: f64| (1.0..=f64::from(COUNT_MAX)).contains(&count);
        match *self {
            Self::Fixed(count) => ensure!(
                within(count.into()),
                "`{name}` is {count}: must be 1 to {COUNT_MAX}"
            ),
            Self::Uniform { from, to } => ensure!(
                within(from.into()) && within(to.into()) && from <= to,
                "`{name}`: `from` is {from} and `to` is {to}: must be 1 to {COUNT_MAX}, `to` not below `from`"
            ),
            Self::LogNormal { median, p95 } => {
                ensure!(
                    within(median) && within(p95) && median < p95,
                    "`{name}`: `median` is {median} and `p95` is {p95}: must be 1 to {COUNT_MAX}, `p95` above `median`"
                );
                log_normal(median, p95).with_context(|| format!("`{name}`"))?;
            }
        }
        Ok(())
    }

    /// The largest that can be drawn.
    pub fn most(&self) -> u32 {
        match *self {
            Self::Fixed(count) => count,
            Self::Uniform { to, .. } => to,
            Self::LogNormal { .. } => COUNT_MAX,
        }
    }

    /// Draws one.
    pub fn draw(&self, rng: &mut impl Rng) -> u32 {
        match *self {
            Self::Fixed(count) => count,
            Self::Uniform { from, to } => rng.random_range(from..=to),
            // It was checked.
            Self::LogNormal { median, p95 } => log_normal(median, p95).map_or(1, |law| {
                law.sample(rng).round().clamp(1.0, COUNT_MAX.into()) as u32
            }),
        }
    }
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
    fn nonsense_is_refused_by_name() {
        for law in [
            Count::Fixed(0),
            Count::Uniform { from: 5, to: 4 },
            Count::LogNormal {
                median: 9.0,
                p95: 9.0,
            },
        ] {
            let message = law.check("output_tokens").unwrap_err().to_string();
            assert!(message.contains("output_tokens"), "{message}");
        }
    }
}
