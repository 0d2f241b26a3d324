//! One statistical decision, with all numbers needed to check it.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One statistical decision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Statistic {
    /// The name of the test in the literature.
    pub test: String,
    /// What was counted or compared.
    pub of: String,
    /// The number of observations.
    pub n: u64,
    /// The observed effect: a share, or a probability.
    pub observed: f64,
    /// The effects that are consistent with the observed one at 95 %, in its unit: from, to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<(f64, f64)>,
    /// The hypothesis in words: what a correct system, or a useless one, would show.
    pub null: String,
    /// The chance of failing a correct system.
    pub alpha: f64,
    /// The chance of catching the smallest deviation that matters.
    pub power: f64,
    /// That deviation in words.
    pub power_against: String,
    /// The accepted range, in the unit of `observed`: from, to.
    pub accepted: (f64, f64),
    /// The chance of an effect at least this extreme under the null.
    pub p_value: f64,
}

impl fmt::Display for Statistic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:.4}", self.of, self.observed)?;
        if let Some((low, high)) = self.interval {
            write!(f, " (95 %: {low:.4} to {high:.4})")?;
        }
        write!(
            f,
            " of n={}, accepted {:.4} to {:.4} ({}; null: {}, p={:.2e}, alpha={:.1e}, power={:.4} against {})",
            self.n,
            self.accepted.0,
            self.accepted.1,
            self.test,
            self.null,
            self.p_value,
            self.alpha,
            self.power,
            self.power_against
        )
    }
}

impl Statistic {
    /// Whether the observed effect is accepted.
    pub fn holds(&self) -> bool {
        let (low, high) = self.accepted;
        self.observed >= low && self.observed <= high
    }
}
