//! Plans: how many requests a question takes, before anything is sent.

use anyhow::Result;
use serde::Serialize;

use crate::effort::Effort;
use poolproof_stats::binomial::{Plan, Question};
use poolproof_stats::sequential::Sequential;

/// The error rates of a test, as chances.
#[derive(Clone, Copy, Debug)]
pub struct ErrorRates {
    /// Of failing a correct system.
    pub alpha: f64,
    /// Of catching the deviation.
    pub power: f64,
}

/// The plan of a split: how many requests show that a pool gets its share.
#[derive(Clone, Debug, Serialize)]
pub struct SplitPlan {
    /// The share of the pool that is tested.
    pub null: f64,
    /// The smallest deviation of that share that must be caught.
    pub deviation: f64,
    /// The chance of failing a right split that was asked for.
    pub alpha: f64,
    /// The chance of catching the deviation that was asked for.
    pub power: f64,
    /// A sample of fixed size.
    pub without_looks: FixedSample,
    /// A sample that ends when it is settled.
    pub with_looks: Sequential,
    /// Gateways with a given share, by share.
    pub gateways: Vec<GatewayChance>,
    /// Samples that the user has.
    pub have: Vec<SampleChance>,
}

/// A sample of fixed size.
#[derive(Clone, Debug, Serialize)]
pub struct FixedSample {
    /// Requests.
    pub requests: u64,
    /// The least and the most that pass.
    pub accepted: [u64; 2],
    /// The chance of catching the deviation.
    pub power: f64,
}

/// What becomes of a gateway whose share is known.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct GatewayChance {
    /// The share that it gives the pool.
    pub share: f64,
    /// How far that is off, in percentage points.
    pub points_off: f64,
    /// The chance that it passes a sample of fixed size.
    pub passes_without_looks: f64,
    /// The chance that it passes a sample that ends when it is settled.
    pub passes_with_looks: f64,
    /// Requests that the latter takes, on average.
    pub mean_requests: f64,
}

/// What a sample of a given size can show.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct SampleChance {
    /// Requests.
    pub requests: u64,
    /// The least and the most that pass.
    pub accepted: [u64; 2],
    /// The chance that a gateway passes that is off by the deviation below its share.
    pub passes_below: Option<f64>,
    /// The same above its share.
    pub passes_above: Option<f64>,
    /// The smallest share above the right one that is caught with the power that was asked for.
    pub caught_from: Option<f64>,
}

/// Points off the right share for which [`SplitPlan::gateways`] has chances.
const POINTS_OFF: [f64; 10] = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 8.0, 10.0];

impl SplitPlan {
    /// Plans the test of a share `null`, at these error rates; `have` are sizes of samples that are there.
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

/// The plan of a run: what each case takes, and all together.
#[derive(Clone, Debug, Serialize)]
pub struct RunPlan {
    /// The name of the target.
    pub target: String,
    /// The time of a request, in milliseconds.
    pub latency_ms: f64,
    /// The cases, in the order in which they run.
    pub cases: Vec<CasePlan>,
    /// All cases together.
    pub total: RunTotal,
}

/// The plan of a case.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum CasePlan {
    /// It sends nothing.
    Skipped {
        /// Its id.
        case: &'static str,
        /// What the target lacks.
        skipped: String,
    },
    /// It sends this.
    Planned {
        /// Its id.
        case: &'static str,
        /// What it sends.
        #[serde(flatten)]
        effort: Effort,
        /// The time that takes on average, in seconds.
        seconds_mean: f64,
        /// The chance with which it fails a correct stack.
        alpha: f64,
        /// The chance with which it catches the smallest deviation that matters, where it decides by a sample.
        power: Option<f64>,
    },
}

/// What all cases of a run take.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct RunTotal {
    /// Requests on a correct stack, on average.
    pub requests_mean: f64,
    /// Requests, at most.
    pub requests_max: f64,
    /// Tokens of prompts and answers on a correct stack, on average.
    pub tokens_mean: f64,
    /// The time, in seconds, on average.
    pub seconds_mean: f64,
    /// The chance with which the run fails a correct stack, at most.
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
        // The chance of passing there is what the power leaves, and not at the next share below.
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
