//! Sequential binomial tests. They answer the same questions as fixed samples, but check on the way and stop as soon as
//! the question is settled.
//!
//! Source: Wald, "Sequential Analysis", 1947. A likelihood ratio against each deviation that matters fails the system
//! above one bound and rules that deviation out below another; between null and deviation, either verdict is
//! acceptable. Sobel and Wald 1949 for two deviations at once. The test is truncated at a last look. Both error rates
//! are computed exactly over all paths (Jennison and Turnbull, "Group Sequential Methods", 2000, section 12.1). The
//! last look is the earliest that keeps both.

mod paths;

use std::ops::RangeInclusive;

use anyhow::{Result, bail, ensure};
use serde::Serialize;

use super::binomial::{Plan, Question};
use super::interval;
use crate::Statistic;
use paths::Paths;

/// The largest share of alpha that looks before the last one may spend.
const EARLY_ALPHA: f64 = 0.9;
/// The largest share of the miss rate that looks before the last one may spend.
const EARLY_MISS: f64 = 0.7;
/// The approximate number of looks within the fixed sample size.
const LOOKS: u64 = 40;
/// The largest sample, as a multiple of the fixed one.
const LONGEST: f64 = 2.0;

/// A sequential test, planned.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sequential {
    /// The question.
    pub question: Question,
    /// The looks, in order; the last one always decides.
    pub looks: Vec<Look>,
    /// The requested chance of failing a correct system.
    pub alpha: f64,
    /// The behaviour at the null.
    pub at_null: Behaviour,
    /// The behaviour at the deviation that is hardest to catch.
    pub at_deviation: Behaviour,
    /// The sample size of a test without looks.
    pub fixed_n: u64,
}

/// A look at the sample so far.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Look {
    /// The observations so far.
    pub n: u64,
    /// The counts at which the system passes. May be empty.
    pub passing: RangeInclusive<u64>,
    /// The counts at which it does not fail.
    pub bearable: RangeInclusive<u64>,
}

/// The behaviour of a sequential test at a known share, over all paths.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Behaviour {
    /// The chance that the system fails.
    pub fails: f64,
    /// The mean number of observations.
    pub mean_n: f64,
}

/// The state of a test, given a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Undecided: the next look needs more observations.
    Open {
        /// The number of observations missing for the next look.
        missing: u64,
    },
    /// The test has ended.
    Ended {
        /// The number of the look, from 0.
        look: usize,
        /// The hits up to that look.
        hits: u64,
    },
}

impl Sequential {
    /// The shortest test that answers the question at these error rates.
    pub fn new(question: Question, alpha: f64, power: f64) -> Result<Self> {
        let fixed = Plan::new(question, alpha, power)?;
        ensure!(
            question.null() > 0.0 && question.null() < 1.0,
            "{question:?}: a null of 0 or 1 is settled by one observation, not by a ratio"
        );
        let step = fixed.n.div_ceil(LOOKS);
        let longest = (fixed.n as f64 * LONGEST) as u64;
        let mut last = fixed.n.next_multiple_of(step);
        while last <= longest {
            let test = Self::until(question, alpha, power, step, last, fixed.n);
            if test.at_null.fails <= alpha && test.at_deviation.fails >= power {
                return Ok(test);
            }
            last += step;
        }
        bail!(
            "{question:?} has no sequential test of at most {longest} observations at alpha {alpha} and power {power}"
        )
    }

    /// The test whose last look is at `last`. Its last bounds spend the rest of alpha.
    fn until(
        question: Question,
        alpha: f64,
        power: f64,
        step: u64,
        last: u64,
        fixed_n: u64,
    ) -> Self {
        let sides = question.deviations().len() as f64;
        let fail_at = (sides / (alpha * EARLY_ALPHA)).ln();
        let pass_at = ((1.0 - power) * EARLY_MISS).ln();
        let mut looks: Vec<Look> = (1..last / step)
            .map(|number| question.look(number * step, fail_at, pass_at))
            .collect();
        let mut at_last = Paths::default();
        let early = at_last.walk(&looks, last, question.null());
        let bounds = at_last.bounds((alpha - early.fails).max(0.0), question);
        looks.push(Look {
            n: last,
            passing: bounds.clone(),
            bearable: bounds,
        });
        let mut test = Self {
            question,
            looks,
            alpha,
            at_null: early,
            at_deviation: early,
            fixed_n,
        };
        test.at_null = test.at(question.null());
        let deviations = question
            .deviations()
            .into_iter()
            .map(|share| test.at(share));
        if let Some(hardest) = deviations.min_by(|a, b| a.fails.total_cmp(&b.fails)) {
            test.at_deviation = hardest;
        }
        test
    }

    /// The largest sample.
    pub fn n_max(&self) -> u64 {
        self.looks.last().map_or(0, |look| look.n)
    }

    /// Whether `hits` hits at a look fail the system.
    pub fn fails(&self, look: usize, hits: u64) -> bool {
        !self.looks[look].bearable.contains(&hits)
    }

    /// The behaviour at this share.
    pub fn at(&self, share: f64) -> Behaviour {
        Paths::default().walk(&self.looks, self.n_max(), share)
    }

    /// The state of the test after these observations, given in the order in which they were made.
    pub fn progress(&self, observations: impl IntoIterator<Item = bool>) -> Progress {
        let (mut n, mut hits) = (0, 0);
        let mut looks = self.looks.iter().enumerate().peekable();
        for hit in observations {
            n += 1;
            hits += u64::from(hit);
            if let Some((number, look)) = looks.next_if(|(_, look)| look.n == n)
                && look.decides(hits)
            {
                return Progress::Ended { look: number, hits };
            }
        }
        let next = looks.peek().map_or(0, |(_, look)| look.n);
        Progress::Open {
            missing: next.saturating_sub(n),
        }
    }

    /// The decision of a test that ended at `look` with `hits` hits.
    pub fn decide(&self, of: impl Into<String>, look: usize, hits: u64) -> Statistic {
        let at = &self.looks[look];
        let share = |count: u64| count as f64 / at.n as f64;
        let observed = share(hits);
        let tails = |p: f64| self.tails(p, observed);
        Statistic {
            test: "sequential binomial".to_owned(),
            of: of.into(),
            n: at.n,
            observed,
            interval: Some(interval::invert(observed, interval::CONFIDENCE, tails)),
            null: self.question.null_in_words(),
            alpha: self.alpha,
            power: self.at_deviation.fails,
            power_against: self.question.deviations_in_words(),
            accepted: (share(*at.bearable.start()), share(*at.bearable.end())),
            p_value: self.question.p_value(tails),
        }
    }

    /// The chances at share `p` that the test ends with a share of at most, and of at least, the observed one. Uses the
    /// ordering by the sample mean (Jennison and Turnbull, section 8.4).
    fn tails(&self, p: f64, observed: f64) -> (f64, f64) {
        let (mut at_most, mut at_least) = (0.0, 0.0);
        let mut paths = Paths::default();
        for look in &self.looks {
            paths.advance(look.n, p);
            paths.end(look, |count, chance| {
                let share = count as f64 / look.n as f64;
                if share <= observed {
                    at_most += chance;
                }
                if share >= observed {
                    at_least += chance;
                }
            });
        }
        (at_most, at_least)
    }
}

impl Look {
    fn decides(&self, hits: u64) -> bool {
        self.passing.contains(&hits) || !self.bearable.contains(&hits)
    }
}

impl Question {
    /// A look at which the likelihood ratio against a deviation fails the system from `fail_at` on, and rules the
    /// deviation out up to `pass_at`. Both are natural logarithms.
    fn look(self, n: u64, fail_at: f64, pass_at: f64) -> Look {
        let null = self.null();
        let (mut passing, mut bearable) = ((0.0_f64, n as f64), (0.0_f64, n as f64));
        for share in self.deviations() {
            // The logarithm of the ratio is hits * hit + (n - hits) * miss.
            let (hit, miss) = ((share / null).ln(), ((1.0 - share) / (1.0 - null)).ln());
            let hits_at = |ratio: f64| (ratio - n as f64 * miss) / (hit - miss);
            if share > null {
                bearable.1 = bearable.1.min(hits_at(fail_at).ceil() - 1.0);
                passing.1 = passing.1.min(hits_at(pass_at).floor());
            } else {
                bearable.0 = bearable.0.max(hits_at(fail_at).floor() + 1.0);
                passing.0 = passing.0.max(hits_at(pass_at).ceil());
            }
        }
        Look {
            n,
            passing: whole(passing),
            bearable: whole(bearable),
        }
    }
}

/// The integers between two bounds; empty if the end is below 0 or below the start.
fn whole((from, to): (f64, f64)) -> RangeInclusive<u64> {
    if to < from.max(0.0) {
        RangeInclusive::new(1, 0)
    } else {
        from.max(0.0) as u64..=to as u64
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    const CANARY: Question = Question::Equal {
        null: 0.10,
        deviation: 0.03,
    };
    const BUSY: Question = Question::AtMost {
        null: 0.02,
        bad: 0.08,
    };
    const IDLE: Question = Question::AtLeast {
        null: 0.5 / 3.0,
        bad: 0.05 / 3.0,
    };

    #[test]
    fn both_error_rates_hold_and_half_of_the_sample_is_saved() {
        for question in [CANARY, BUSY, IDLE] {
            let test = Sequential::new(question, 1e-4, 0.99).unwrap();
            assert!(test.at_null.fails <= 1e-4, "{test:?}");
            for share in question.deviations() {
                assert!(test.at(share).fails >= 0.99, "{question:?} {share}");
            }
            assert!(
                test.at_null.mean_n <= test.fixed_n as f64 / 2.0,
                "{question:?}: {} of {}",
                test.at_null.mean_n,
                test.fixed_n
            );
        }
    }

    #[test]
    fn a_gateway_far_off_is_caught_with_a_few_hundred_requests() {
        let test = Sequential::new(CANARY, 1e-4, 0.99).unwrap();
        assert!(test.at(0.2).fails > 0.999_999);
        assert!(test.at(0.2).mean_n < 600.0, "{:?}", test.at(0.2));
    }

    #[test]
    fn chances_of_all_ends_add_up_to_one() {
        let test = Sequential::new(CANARY, 1e-4, 0.99).unwrap();
        let (at_most, _) = test.tails(0.11, 1.0);
        assert!((at_most - 1.0).abs() < 1e-9);
    }

    #[test]
    fn simulated_samples_behave_as_computed() {
        let test = Sequential::new(BUSY, 0.01, 0.95).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let runs = 20_000;
        for share in [0.02, 0.08] {
            let (mut failed, mut total) = (0.0, 0.0);
            for _ in 0..runs {
                let sample = std::iter::repeat_with(|| rng.random_bool(share));
                let Progress::Ended { look, hits } = test.progress(sample.take(2000)) else {
                    unreachable!("the last look decides")
                };
                total += test.looks[look].n as f64;
                failed += f64::from(test.fails(look, hits));
            }
            let computed = test.at(share);
            let spread = (computed.fails * (1.0 - computed.fails) / f64::from(runs)).sqrt();
            assert!((failed / f64::from(runs) - computed.fails).abs() < 5.0 * spread);
            let mean = total / f64::from(runs);
            assert!(
                (mean / computed.mean_n - 1.0).abs() < 0.02,
                "{mean} {computed:?}"
            );
        }
    }

    #[test]
    fn a_decision_passes_if_and_only_if_it_accepts_the_observed_share() {
        let test = Sequential::new(CANARY, 1e-4, 0.99).unwrap();
        for (every, passes) in [(10, true), (5, false)] {
            // A perfectly even split: deterministic, without variance.
            let sample = (1..=test.n_max()).map(|number| number % every == 0);
            let Progress::Ended { look, hits } = test.progress(sample) else {
                unreachable!("the last look decides")
            };
            let statistic = test.decide("x", look, hits);
            let (low, high) = statistic.accepted;
            assert_eq!((low..=high).contains(&statistic.observed), passes);
            let (from, to) = statistic.interval.unwrap();
            assert!(from < statistic.observed && statistic.observed < to);
            assert_eq!(statistic.p_value > 0.05, passes, "{statistic}");
        }
    }

    #[test]
    fn a_short_sample_is_open_and_reports_how_many_observations_are_missing() {
        let test = Sequential::new(BUSY, 1e-4, 0.99).unwrap();
        let first = test.looks[0].n;
        assert_eq!(test.progress([]), Progress::Open { missing: first });
        assert_eq!(
            test.progress([false]),
            Progress::Open { missing: first - 1 }
        );
    }
}
