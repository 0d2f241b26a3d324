//! The record of a sweep, saved as `sweep.json`.

use std::path::Path;

use anyhow::Result;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Kind, Knee, Step};
use crate::environment::Environment;
use crate::file::read_as;
use poolproof_model::component::Component;
use poolproof_model::workload::Workload;

/// The version of the record's schema.
pub const SCHEMA: &str = crate::file::Kind::Sweep.schema();

/// A sweep, as it is saved.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RateSweep {
    /// [`SCHEMA`].
    pub schema: String,
    /// The version of poolproof.
    pub tool_version: String,
    /// When the sweep was started.
    pub started: Timestamp,
    /// Whether the sweep was interrupted.
    pub interrupted: bool,
    /// The name of the workload.
    pub name: String,
    /// The workload as requested. Each step has its own arrivals, duration and seed.
    pub workload: Workload,
    /// The seed of the first step. Each step has the next one, so that no prompt repeats.
    pub seed: u64,
    /// The name of the stack.
    pub stack: String,
    /// The flaw that was switched on, if any.
    pub flaw: Option<String>,
    /// The components of the stack, as detected.
    pub components: Vec<Component>,
    /// The machine of the client, before the start of the stack.
    pub environment: Environment,
    /// The steps, in the order in which they were made.
    pub steps: Vec<Step>,
    /// The knee, if the steps show one.
    pub knee: Option<Knee>,
    /// The longest wait for the end of a response in the steps after idle, in seconds. Later ones are failures.
    pub timeout_s: f64,
    /// How the knee is found.
    pub method: String,
    /// Why rates were left out, if the server was far beyond saturation before the highest rate.
    pub ended_early: Option<String>,
}

impl RateSweep {
    /// Reads a record.
    pub fn read(path: &Path) -> Result<Self> {
        read_as(path, SCHEMA)
    }

    /// The most responses per second that any step had.
    pub fn most_per_s(&self) -> Option<f64> {
        let all = self.steps.iter().map(|step| step.answered_per_s);
        all.reduce(f64::max).filter(|most| *most > 0.0)
    }

    /// The steps of the curve, by rising rate: idle first, then all rates.
    pub fn curve(&self) -> Vec<&Step> {
        let mut steps: Vec<&Step> = self
            .steps
            .iter()
            .filter(|step| step.kind != Kind::Capacity)
            .collect();
        steps.sort_by(|a, b| {
            let rate = |step: &Step| step.offered_per_s.unwrap_or(0.0);
            rate(a).total_cmp(&rate(b))
        });
        steps
    }

    /// Whether a measurement of the curve cannot be trusted.
    pub fn is_doubtful(&self) -> bool {
        self.curve().iter().any(|step| !step.doubts.is_empty())
    }

    /// The result in a sentence.
    pub fn conclusion(&self) -> String {
        let interrupted = if self.interrupted {
            "interrupted; "
        } else {
            ""
        };
        let most = self.most_per_s();
        match (&self.knee, most) {
            (Some(knee), Some(most)) => format!(
                "{interrupted}{}; at most {most:.2} answers/s at any load",
                knee.in_words()
            ),
            (None, Some(most)) => format!(
                "{interrupted}no knee is shown: too few rates had enough answers for a percentile; at most {most:.2} answers/s; \
                 give --step a longer time"
            ),
            (_, None) if self.steps.is_empty() => {
                format!("{interrupted}no step was measured")
            }
            (_, None) => format!("{interrupted}no request was answered: {}", self.failures()),
        }
    }

    /// The kinds of failures of all steps, most frequent first.
    fn failures(&self) -> String {
        let mut kinds = std::collections::BTreeMap::<&str, u64>::new();
        for (kind, count) in self.steps.iter().flat_map(|step| &step.requests.failed) {
            *kinds.entry(kind).or_default() += count;
        }
        let mut kinds: Vec<(&str, u64)> = kinds.into_iter().collect();
        kinds.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let kinds = kinds.iter().map(|(kind, count)| format!("{count} {kind}"));
        kinds.collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use crate::samples::rate_sweep;

    #[test]
    fn the_conclusion_has_the_knee_its_interval_and_the_most_answers() {
        let mut record = rate_sweep();
        let conclusion = record.conclusion();
        assert!(
            conclusion.starts_with("knee: 80.00 req/s, between 50.00 and 100.00; ")
                && conclusion.ends_with("at most 92.00 answers/s at any load"),
            "{conclusion}"
        );
        record.knee = None;
        assert!(record.conclusion().starts_with("no knee is shown"));
        record.interrupted = true;
        record.steps.clear();
        assert_eq!(record.conclusion(), "interrupted; no step was measured");
    }

    #[test]
    fn the_curve_rises_from_idle_and_leaves_out_the_capacity_steps() {
        let rates: Vec<Option<f64>> = rate_sweep()
            .curve()
            .iter()
            .map(|it| it.offered_per_s)
            .collect();
        assert_eq!(rates[0], None);
        assert!(rates.windows(2).all(|pair| pair[0] < pair[1]), "{rates:?}");
    }
}
