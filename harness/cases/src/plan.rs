//! Plans: how many requests a question needs, before anything is sent.

use anyhow::Result;
use serde::Serialize;

use crate::effort::Effort;
use poolproof_stats::binomial::{Plan, Question};
use poolproof_stats::sequential::Sequential;

/// The error rates of a test.
#[derive(Clone, Copy, Debug)]
pub struct ErrorRates {
    /// The chance of failing a correct system.
    pub alpha: f64,
    /// The chance of catching the deviation.
    pub power: f64,
}

/// The plan of a split: the number of requests that show whether a pool gets its share.
#[derive(Clone, Debug, Serialize)]
pub struct SplitPlan {
    /// The share of the pool that is tested.
    pub null: f64,
    /// The smallest deviation of that share that must be caught.
    pub deviation: f64,
    /// The requested chance of failing a correct split.
    pub alpha: f64,
    /// The requested chance of catching the deviation.
    pub power: f64,
    /// A sample of fixed size.
    pub without_looks: FixedSample,
    /// A sample that ends as soon as it is settled.
    pub with_looks: Sequential,
    /// The results for gateways with a given share, in order of share.
    pub gateways: Vec<GatewayChance>,
    /// The results for sample sizes given by the user.
    pub have: Vec<SampleChance>,
}

/// A sample of fixed size.
#[derive(Clone, Debug, Serialize)]
pub struct FixedSample {
    /// The number of requests.
    pub requests: u64,
    /// The smallest and the largest count that pass.
    pub accepted: [u64; 2],
    /// The chance of catching the deviation.
    pub power: f64,
}

/// The results for a gateway with a known share.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct GatewayChance {
    /// The share that it gives the pool.
    pub share: f64,
    /// The deviation of that share, in percentage points.
    pub points_off: f64,
    /// The chance that it passes with a sample of fixed size.
    pub passes_without_looks: f64,
    /// The chance that it passes with a sample that ends as soon as it is settled.
    pub passes_with_looks: f64,
    /// The mean number of requests of the latter.
    pub mean_requests: f64,
}

/// The results for a given sample size.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct SampleChance {
    /// The number of requests.
    pub requests: u64,
    /// The smallest and the largest count that pass.
    pub accepted: [u64; 2],
    /// The chance that a gateway passes whose share is too low by the deviation.
    pub passes_below: Option<f64>,
    /// The chance that a gateway passes whose share is too high by the deviation.
    pub passes_above: Option<f64>,
    /// The smallest share above the right one that is caught with the requested power.
    pub caught_from: Option<f64>,
}

/// The deviations in percentage points for which [`SplitPlan::gateways`] has results.
const POINTS_OFF: [f64; 10] = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 8.0, 10.0];

impl SplitPlan {
    /// Plans the test of a share `null` at these error rates. `have` contains available sample sizes.
    pub fn new(null: f64, deviation: f64, rates: ErrorRates, have: &[u64]) -> Result<Self> {
        let ErrorRates { alpha, power } = rates;
        let question = Question::Equal { null, deviation };
        let fixed = Plan::new(question, alpha, power)?;
        let test = Sequential::new(question, alpha, power)?;
        let mut shares = vec![null];
        for off in POINTS_OFF.iter().skip(1).map(|points| points / 100.0) {
            shares.extend([null - off, null + off]);
        }
        shares.retain(|share| (0.0..=1.0).contains(share));
        shares.sort_by(f64::total_cmp);
        let gateways = shares.into_iter().map(|share| {
            let behaviour = test.at(share);
            GatewayChance {
                share,
                points_off: (share - null) * 100.0,
                passes_without_looks: fixed.passes(share),
                passes_with_looks: (1.0 - behaviour.fails).max(0.0),
                mean_requests: behaviour.mean_n,
            }
        });
        Ok(Self {
            null,
            deviation,
            alpha,
            power,
            without_looks: FixedSample {
                requests: fixed.n,
                accepted: [*fixed.accepted.start(), *fixed.accepted.end()],
                power: fixed.power,
            },
            gateways: gateways.collect(),
            have: have
                .iter()
                .map(|n| SampleChance::new(*n, question, rates))
                .collect(),
            with_looks: test,
        })
    }
}

impl SampleChance {
    fn new(n: u64, question: Question, rates: ErrorRates) -> Self {
        const STEPS: u32 = 1000;
        let plan = Plan::of_size(question, n, rates.alpha);
        let around = question.deviations();
        let mut above = (0..=STEPS)
            .map(|step| f64::from(step) / f64::from(STEPS))
            .filter(|share| *share > question.null());
        Self {
            requests: n,
            accepted: [*plan.accepted.start(), *plan.accepted.end()],
            passes_below: around.first().map(|share| plan.passes(*share)),
            passes_above: around.last().map(|share| plan.passes(*share)),
            caught_from: above.find(|share| plan.passes(*share) <= 1.0 - rates.power),
        }
    }
}

/// The plan of a run: the effort of each case, and the total.
#[derive(Clone, Debug, Serialize)]
pub struct RunPlan {
    /// The name of the target.
    pub target: String,
    /// The assumed latency of a request, in milliseconds.
    pub latency_ms: f64,
    /// The cases, in execution order.
    pub cases: Vec<CasePlan>,
    /// The total over all cases.
    pub total: RunTotal,
}

/// The plan of a case.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum CasePlan {
    /// The case is skipped.
    Skipped {
        /// The id of the case.
        case: &'static str,
        /// What the target lacks.
        skipped: String,
    },
    /// The case is run.
    Planned {
        /// The id of the case.
        case: &'static str,
        /// The effort.
        #[serde(flatten)]
        effort: Effort,
        /// The mean duration in seconds.
        seconds_mean: f64,
        /// The chance that it fails a correct stack.
        alpha: f64,
        /// The chance that it catches the smallest deviation that matters, if it decides by a sample.
        power: Option<f64>,
    },
}

/// The total effort of a run.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct RunTotal {
    /// The mean number of requests on a correct stack.
    pub requests_mean: f64,
    /// The largest number of requests.
    pub requests_max: f64,
    /// The mean number of tokens of prompts and responses on a correct stack.
    pub tokens_mean: f64,
    /// The mean duration in seconds.
    pub seconds_mean: f64,
    /// The largest chance that the run fails a correct stack.
    pub alpha: f64,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_that_must_catch_with_less_power_catches_a_nearer_share() {
        let caught_from = |power: f64| {
            let rates = ErrorRates { alpha: 1e-3, power };
            let plan = SplitPlan::new(0.1, 0.03, rates, &[200]).unwrap();
            plan.have[0].caught_from.unwrap()
        };
        let (less, most) = (caught_from(0.8), caught_from(0.99));
        assert!(less + 0.02 < most, "{less} and {most}");
        // At that share the chance of passing is at most 1 - power; at the next share below it is higher.
        let question = Question::Equal {
            null: 0.1,
            deviation: 0.03,
        };
        let sample = Plan::of_size(question, 200, 1e-3);
        assert!(sample.passes(less) <= 0.2 && sample.passes(less - 0.001) > 0.2);
    }

    #[test]
    fn gateways_are_ordered_by_share_and_the_right_one_is_among_them_once() {
        let rates = ErrorRates {
            alpha: 1e-3,
            power: 0.9,
        };
        let plan = SplitPlan::new(0.1, 0.03, rates, &[]).unwrap();
        let shares: Vec<f64> = plan.gateways.iter().map(|gateway| gateway.share).collect();
        assert!(shares.is_sorted());
        assert_eq!(shares.iter().filter(|share| **share == 0.1).count(), 1);
    }
}
