//! The Mann-Whitney rank test: does one class come before another?
//!
//! Source: Mann and Whitney 1947; the normal approximation with tie correction as in Lehmann, "Nonparametrics", section 1.4;
//! the effect is the common-language effect size U/(mn) of McGraw and Wong 1992.

use statrs::distribution::{ContinuousCDF, Normal};

use super::binomial::{Plan, Question, tails};
use crate::Statistic;

/// The order of two samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Order {
    /// The chance that a value of the first sample is below one of the second; ties count half.
    pub first_below: f64,
    /// The standard deviation of that chance if both samples have the same distribution.
    pub spread: f64,
    /// The size of the smaller sample.
    pub smaller: f64,
}

/// Compares two samples. Returns `None` if a sample is empty or all values are equal.
pub fn order(first: &[f64], second: &[f64]) -> Option<Order> {
    let (m, n) = (first.len() as f64, second.len() as f64);
    let mut all: Vec<(f64, bool)> = first.iter().map(|value| (*value, true)).collect();
    all.extend(second.iter().map(|value| (*value, false)));
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let total = m + n;
    let mut rank_sum = 0.0;
    let mut ties = 0.0;
    for group in all.chunk_by(|a, b| a.0 == b.0) {
        let size = group.len() as f64;
        let before = rank_of(&all, group);
        let rank = before + (size + 1.0) / 2.0;
        rank_sum += rank * group.iter().filter(|(_, is_first)| *is_first).count() as f64;
        ties += size.powi(3) - size;
    }
    let above = rank_sum - m * (m + 1.0) / 2.0;
    let variance = m * n / 12.0 * (total + 1.0 - ties / (total * (total - 1.0)));
    (m > 0.0 && n > 0.0 && variance > 0.0).then(|| Order {
        first_below: 1.0 - above / (m * n),
        spread: variance.sqrt() / (m * n),
        smaller: m.min(n),
    })
}

/// The number of values before `group`, a slice of the sorted `all`.
fn rank_of(all: &[(f64, bool)], group: &[(f64, bool)]) -> f64 {
    all.partition_point(|value| value.0.total_cmp(&group[0].0).is_lt()) as f64
}

impl Order {
    /// The order of two samples of these sizes without any difference or ties, for planning.
    pub fn of_sizes([m, n]: [usize; 2]) -> Self {
        let (m, n) = (m as f64, n as f64);
        Self {
            first_below: 0.5,
            spread: ((m + n + 1.0) / (12.0 * m * n)).sqrt(),
            smaller: m.min(n),
        }
    }

    /// Decides "the first class precedes the second with a chance of `null` or more". This holds unless the order is
    /// shown to be weaker at `alpha`. The variance of the order in a correct system depends on the two distributions.
    /// The test assumes the largest variance possible: p(1-p) by the size of the smaller sample (van Dantzig 1951). In
    /// that case each value of the smaller sample lies on one side of all others, so the order is binomial. The power
    /// is the chance of catching a system without any order.
    pub fn decide_first(self, of: impl Into<String>, n: usize, alpha: f64, null: f64) -> Statistic {
        let smaller = self.smaller as u64;
        let question = Question::AtLeast { null, bad: 0.5 };
        let threshold =
            *Plan::of_size(question, smaller, alpha).accepted.start() as f64 / self.smaller;
        let in_order = (self.first_below * self.smaller).floor() as u64;
        Statistic {
            test: "Mann-Whitney, one-sided".to_owned(),
            of: of.into(),
            n: n as u64,
            observed: self.first_below,
            interval: None,
            null: format!("order >= {null:.2}"),
            alpha,
            power: Normal::standard().cdf((threshold - 0.5) / self.spread),
            power_against: "no order: 0.5".to_owned(),
            accepted: (threshold, 1.0),
            p_value: question.p_value(|p| tails(p, smaller, in_order)),
        }
    }

    /// Decides "no order": accepted unless an order is shown at `alpha`, in either direction. The power is the chance
    /// of catching a system in which the first precedes the second with probability `deviating`.
    pub fn decide_none(
        self,
        of: impl Into<String>,
        n: usize,
        alpha: f64,
        deviating: f64,
    ) -> Statistic {
        let normal = Normal::standard();
        let margin = normal.inverse_cdf(1.0 - alpha / 2.0) * self.spread;
        let z = (self.first_below - 0.5).abs() / self.spread;
        Statistic {
            test: "Mann-Whitney, two-sided".to_owned(),
            of: of.into(),
            n: n as u64,
            observed: self.first_below,
            interval: None,
            null: "no order: 0.5".to_owned(),
            alpha,
            power: normal.cdf(((deviating - 0.5).abs() - margin) / self.spread),
            power_against: format!("{deviating:.2}"),
            accepted: (0.5 - margin, 0.5 + margin),
            p_value: (2.0 * normal.sf(z)).min(1.0),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn complete_order_is_one_and_no_order_a_half() {
        let low: Vec<f64> = (0..30).map(f64::from).collect();
        let high: Vec<f64> = (100..160).map(f64::from).collect();
        assert_eq!(order(&low, &high).unwrap().first_below, 1.0);
        assert_eq!(order(&high, &low).unwrap().first_below, 0.0);
        let same = order(&low, &low).unwrap();
        assert!((same.first_below - 0.5).abs() < 1e-12);
    }

    #[test]
    fn a_worked_example() {
        // Without ties, m=3, n=4: U counts the ordered pairs. Here (1,2,5 before 3,4,6,7) it is 10 of 12.
        let found = order(&[1.0, 2.0, 5.0], &[3.0, 4.0, 6.0, 7.0]).unwrap();
        assert!((found.first_below - 10.0 / 12.0).abs() < 1e-12);
        // Variance of U: mn(m+n+1)/12 = 8, so the spread of U/mn is sqrt(8)/12.
        assert!((found.spread - 8f64.sqrt() / 12.0).abs() < 1e-12);
    }

    #[test]
    fn held_classes_are_decided_either_way() {
        let early: Vec<f64> = (0..200).map(f64::from).collect();
        let late: Vec<f64> = (190..250).map(f64::from).collect();
        let decide = |late: &[f64]| {
            let order = order(&early, late).unwrap();
            order.decide_first("x", early.len() + late.len(), 5e-5, 0.95)
        };
        let statistic = decide(&late);
        assert!(statistic.observed > statistic.accepted.0 && statistic.power > 0.999);
        let mixed: Vec<f64> = (0..60).map(|i| f64::from(i) * 3.3).collect();
        let statistic = decide(&mixed);
        assert!(statistic.observed < statistic.accepted.0);
        assert!(statistic.p_value < 1e-9);
    }

    #[test]
    fn samples_without_differences_have_no_order() {
        assert!(order(&[], &[1.0]).is_none());
        assert!(order(&[1.0], &[1.0]).is_none());
    }
}
