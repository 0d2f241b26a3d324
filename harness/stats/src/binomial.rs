//! Exact binomial tests, planned ahead. A null, a deviation that matters and two error rates give the sample size and
//! the accepted counts.
//!
//! Source: Clopper and Pearson 1934 for the tails; Fleiss, Levin, Paik, "Statistical Methods for Rates and
//! Proportions", chapter 2, for the two error rates. All tails are summed exactly, without a normal approximation.

use std::ops::RangeInclusive;

use anyhow::{Result, ensure};
use serde::Serialize;
use statrs::distribution::{Binomial, DiscreteCDF};

use super::interval::{self, CONFIDENCE};
use crate::Statistic;

/// The largest sample that is planned. A question that needs more is an error.
const N_MAX: u64 = 1_000_000;

/// The hypothesis about a share, and the deviation that must be caught.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub enum Question {
    /// The share is `null`; `null` ± `deviation` must be caught.
    Equal {
        /// The share of a correct system.
        null: f64,
        /// The smallest deviation that matters, in either direction.
        deviation: f64,
    },
    /// The share is at most `null`; `bad` must be caught.
    AtMost {
        /// The largest share of a correct system.
        null: f64,
        /// The smallest share that matters.
        bad: f64,
    },
    /// The share is at least `null`; `bad` must be caught.
    AtLeast {
        /// The smallest share of a correct system.
        null: f64,
        /// The largest share that matters.
        bad: f64,
    },
}

/// A planned test.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// The question.
    pub question: Question,
    /// The number of observations.
    pub n: u64,
    /// The counts that are accepted.
    pub accepted: RangeInclusive<u64>,
    /// The requested chance of failing a correct system; the true chance is not above it.
    pub alpha: f64,
    /// The chance of catching the deviation.
    pub power: f64,
}

impl Plan {
    /// The smallest sample that answers the question at these error rates.
    pub fn new(question: Question, alpha: f64, power: f64) -> Result<Self> {
        question.check()?;
        ensure!(
            alpha > 0.0 && alpha < 0.5 && power > 0.5 && power < 1.0,
            "alpha {alpha} must be between 0 and 0.5, power {power} between 0.5 and 1"
        );
        let strong = |n: u64| Self::of_size(question, n, alpha).power >= power;
        let mut enough = 16;
        while !strong(enough) {
            enough *= 2;
            ensure!(
                enough <= N_MAX,
                "{question:?} would need more than {N_MAX} observations at alpha {alpha} and power {power}"
            );
        }
        // Counts are integers, so power rises with n in a sawtooth. Bisection lands near the smallest n; the search
        // starts a little below.
        let near = bisect(enough / 2, enough, strong);
        let from = near.saturating_sub(64.max(near / 30)).max(1);
        let n = (from..=near).find(|n| strong(*n)).unwrap_or(near);
        Ok(Self::of_size(question, n, alpha))
    }

    /// The test that a sample of size `n` allows.
    pub fn of_size(question: Question, n: u64, alpha: f64) -> Self {
        let (accepted, power) = match question {
            Question::Equal { null, deviation } => {
                let law = law(null, n);
                let accepted = lowest(&law, alpha / 2.0)..=highest(&law, alpha / 2.0);
                let caught = |p: f64| {
                    if (0.0..=1.0).contains(&p) {
                        1.0 - within(p, n, &accepted)
                    } else {
                        1.0
                    }
                };
                let power = caught(null - deviation).min(caught(null + deviation));
                (accepted, power)
            }
            Question::AtMost { null, bad } => {
                let accepted = 0..=highest(&law(null, n), alpha);
                let power = 1.0 - within(bad, n, &accepted);
                (accepted, power)
            }
            Question::AtLeast { null, bad } => {
                let accepted = lowest(&law(null, n), alpha)..=n;
                let power = 1.0 - within(bad, n, &accepted);
                (accepted, power)
            }
        };
        Self {
            question,
            n,
            accepted,
            alpha,
            power,
        }
    }

    /// The chance that a system with this share passes.
    pub fn passes(&self, share: f64) -> f64 {
        within(share, self.n, &self.accepted)
    }

    /// Decides on `hits` in `n` observations. `n` may differ from the plan's if the sample came out at another size.
    pub fn decide(&self, of: impl Into<String>, hits: u64, n: u64) -> Statistic {
        let plan = if n == self.n {
            self.clone()
        } else {
            Self::of_size(self.question, n, self.alpha)
        };
        let share = |count: u64| count as f64 / n.max(1) as f64;
        let tails = |p: f64| tails(p, n, hits);
        Statistic {
            test: "exact binomial".to_owned(),
            of: of.into(),
            n,
            observed: share(hits),
            interval: Some(interval(n, hits, CONFIDENCE)),
            null: self.question.null_in_words(),
            alpha: self.alpha,
            power: plan.power,
            power_against: self.question.deviations_in_words(),
            accepted: (share(*plan.accepted.start()), share(*plan.accepted.end())),
            p_value: self.question.p_value(tails),
        }
    }
}

impl Question {
    /// The share of a correct system, or its bound.
    pub fn null(self) -> f64 {
        match self {
            Self::Equal { null, .. } | Self::AtMost { null, .. } | Self::AtLeast { null, .. } => {
                null
            }
        }
    }

    /// The shares that must be caught. Shares outside 0 to 1 are left out.
    pub fn deviations(self) -> Vec<f64> {
        let shares = match self {
            Self::Equal { null, deviation } => vec![null - deviation, null + deviation],
            Self::AtMost { bad, .. } | Self::AtLeast { bad, .. } => vec![bad],
        };
        let possible = |share: &f64| *share > 0.0 && *share < 1.0;
        shares.into_iter().filter(possible).collect()
    }

    /// The null in words.
    pub fn null_in_words(self) -> String {
        match self {
            Self::Equal { null, .. } => format!("share = {null:.4}"),
            Self::AtMost { null, .. } => format!("share <= {null:.4}"),
            Self::AtLeast { null, .. } => format!("share >= {null:.4}"),
        }
    }

    /// The shares that must be caught, in words.
    pub fn deviations_in_words(self) -> String {
        let shares = self.deviations().into_iter();
        let shares: Vec<String> = shares.map(|share| format!("{share:.4}")).collect();
        shares.join(" or ")
    }

    /// The p-value under the null. `tails` returns the chances of at most and of at least the observation, for a share.
    pub(super) fn p_value(self, tails: impl Fn(f64) -> (f64, f64)) -> f64 {
        let (at_most, at_least) = tails(self.null());
        match self {
            Self::Equal { .. } => (2.0 * at_most.min(at_least)).min(1.0),
            Self::AtMost { .. } => at_least,
            Self::AtLeast { .. } => at_most,
        }
    }

    fn check(self) -> Result<()> {
        let (null, bad) = match self {
            Self::Equal { null, deviation } => (null, null + deviation),
            Self::AtMost { null, bad } => (null, bad),
            Self::AtLeast { null, bad } => (bad, null),
        };
        ensure!(
            (0.0..=1.0).contains(&null) && null < bad,
            "{self:?} needs two different shares"
        );
        Ok(())
    }
}

/// The shares that are consistent with `hits` in `n` observations, at this confidence (Clopper and Pearson 1934).
pub fn interval(n: u64, hits: u64, confidence: f64) -> (f64, f64) {
    let observed = hits as f64 / n.max(1) as f64;
    interval::invert(observed, confidence, |p| tails(p, n, hits))
}

/// The chances of at most and of at least `hits` hits.
pub(super) fn tails(p: f64, n: u64, hits: u64) -> (f64, f64) {
    let law = law(p, n);
    (law.cdf(hits), at_least(&law, hits))
}

fn law(p: f64, n: u64) -> Binomial {
    // `Question::check` and the callers keep p within 0 to 1, which is the only precondition of `Binomial`.
    Binomial::new(p.clamp(0.0, 1.0), n).unwrap_or_else(|_| unreachable!("share {p} of {n}"))
}

/// The chance of at least `count` hits.
fn at_least(law: &Binomial, count: u64) -> f64 {
    match count {
        0 => 1.0,
        count => law.sf(count - 1),
    }
}

/// The smallest count whose lower tail, excluding the count itself, is at most `tail`.
fn lowest(law: &Binomial, tail: f64) -> u64 {
    bisect(0, law.n(), |count| law.cdf(count) > tail)
}

/// The largest count whose upper tail, excluding the count itself, is at most `tail`.
fn highest(law: &Binomial, tail: f64) -> u64 {
    bisect(0, law.n(), |count| law.sf(count) <= tail)
}

/// The smallest count between `low` and `high` for which `holds`. `holds` must be monotonic.
fn bisect(mut low: u64, mut high: u64, holds: impl Fn(u64) -> bool) -> u64 {
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

fn within(p: f64, n: u64, accepted: &RangeInclusive<u64>) -> f64 {
    let law = law(p, n);
    let below = match accepted.start() {
        0 => 0.0,
        start => law.cdf(start - 1),
    };
    (law.cdf(*accepted.end()) - below).clamp(0.0, 1.0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const CANARY: Question = Question::Equal {
        null: 0.10,
        deviation: 0.03,
    };

    #[test]
    fn a_canary_three_points_off_needs_4319_requests() {
        // The smallest possible n; scipy's exact tails give the same n and the same counts.
        let plan = Plan::new(CANARY, 1e-4, 0.99).unwrap();
        assert_eq!((plan.n, plan.accepted), (4319, 357..=510));
        let plan = Plan::of_size(CANARY, 4351, 1e-4);
        assert_eq!(plan.accepted, 360..=514);
        assert!((plan.power - 0.990_096_58).abs() < 1e-8, "{}", plan.power);
    }

    #[test]
    fn a_busy_share_of_8_against_2_percent_needs_423_probes() {
        let question = Question::AtMost {
            null: 0.02,
            bad: 0.08,
        };
        assert_eq!(Plan::new(question, 1e-4, 0.99).unwrap().n, 423);
    }

    #[test]
    fn the_tails_outside_the_accepted_counts_are_the_error_rates() {
        let plan = Plan::new(CANARY, 1e-4, 0.99).unwrap();
        assert!(1.0 - within(0.10, plan.n, &plan.accepted) <= 1e-4);
        assert!(within(0.13, plan.n, &plan.accepted) <= 0.01);
        assert!(within(0.07, plan.n, &plan.accepted) <= 0.01);
    }

    #[test]
    fn a_small_case_agrees_with_a_sum_by_hand() {
        // n=5, p=0.5: P(X>=5) = 1/32 = 0.03125, P(X>=4) = 6/32.
        let question = Question::AtMost {
            null: 0.5,
            bad: 0.99,
        };
        let plan = Plan::of_size(question, 5, 0.05);
        assert_eq!(plan.accepted, 0..=4);
        assert!((plan.decide("x", 5, 5).p_value - 0.03125).abs() < 1e-12);
    }

    #[test]
    fn decisions_follow_the_accepted_counts() {
        let plan = Plan::new(CANARY, 1e-4, 0.99).unwrap();
        for (hits, ok) in [
            (*plan.accepted.start(), true),
            (*plan.accepted.start() - 1, false),
            (*plan.accepted.end(), true),
            (*plan.accepted.end() + 1, false),
        ] {
            let statistic = plan.decide("canary share", hits, plan.n);
            let (low, high) = statistic.accepted;
            assert_eq!((low..=high).contains(&statistic.observed), ok, "{hits}");
        }
    }

    #[test]
    fn a_question_without_a_deviation_is_refused() {
        let question = Question::AtMost {
            null: 0.1,
            bad: 0.1,
        };
        assert!(Plan::new(question, 1e-4, 0.99).is_err());
    }
}
