//! Service level objectives: what is asked of the answers of a load run, and whether they gave it.
//!
//! Every objective is about a share of requests, with its interval (Clopper and Pearson 1934, 95 %): it is met if the whole interval
//! is within it, missed if the whole interval is without, and else not decided. A percentile is such a share: p95 is within a limit
//! exactly if at most 5 % are beyond it. Requests that failed are beyond every limit.

use anyhow::{Result, bail, ensure};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::percentile::{Ms, above, percentile};
use super::recorder::{Cell, Series};
use super::workload::Class;
use crate::stats::binomial;
use crate::stats::interval::CONFIDENCE;
use crate::verdict::Verdict;

/// One objective of a workload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Slo {
    /// The class that it is about [default: all].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// What it is about.
    pub metric: Metric,
    /// The percentile of a time that is limited, such as 95.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percentile: Option<f64>,
    /// The limit of a time, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most_ms: Option<f64>,
    /// The largest share of `failed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<f64>,
    /// The smallest share of `goodput`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<f64>,
}

/// What an objective can be about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// [`Series::Ttft`]
    Ttft,
    /// [`Series::TtftFromSend`]
    TtftFromSend,
    /// [`Series::E2e`]
    E2e,
    /// [`Series::E2eFromSend`]
    E2eFromSend,
    /// [`Series::Tpot`]
    Tpot,
    /// [`Series::ItlChunk`]
    ItlChunk,
    /// The share of requests that failed.
    Failed,
    /// The share of requests, failed ones included, that were within every time limit of the workload.
    Goodput,
}

/// What became of an objective.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Judged {
    /// The objective, in words.
    pub slo: String,
    /// Pass, fail or inconclusive.
    pub verdict: Verdict,
    /// Observations: requests, or gaps between tokens.
    pub n: u64,
    /// The share of those that were beyond the limit, failed, or (for goodput) were good.
    pub share: f64,
    /// What covers the true share at 95 %.
    pub share_interval: (f64, f64),
    /// The share that decides.
    pub share_limit: f64,
    /// The percentile itself, if the sample supports one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ms: Option<Ms>,
}

impl Metric {
    /// The times that it is about.
    pub fn series(self) -> Option<Series> {
        match self {
            Self::Ttft => Some(Series::Ttft),
            Self::TtftFromSend => Some(Series::TtftFromSend),
            Self::E2e => Some(Series::E2e),
            Self::E2eFromSend => Some(Series::E2eFromSend),
            Self::Tpot => Some(Series::Tpot),
            Self::ItlChunk => Some(Series::ItlChunk),
            Self::Failed | Self::Goodput => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Goodput => "goodput",
            other => other.series().map_or("", Series::name),
        }
    }
}

/// The share of requests that may fail where a workload does not say.
const FAILED_MAX: f64 = 0.01;

impl Slo {
    /// What is asked of every workload that says nothing about failures.
    pub fn few_failures() -> Self {
        Self {
            class: None,
            metric: Metric::Failed,
            percentile: None,
            at_most_ms: None,
            at_most: Some(FAILED_MAX),
            at_least: None,
        }
    }

    /// Fails on objectives that say nothing, or are about what is not measured.
    pub fn check(&self, mix: &[Class]) -> Result<()> {
        let mut classes = mix.iter().filter(|class| self.is_about(&class.class));
        if let (Some(class), true) = (&self.class, classes.clone().next().is_none()) {
            let names: Vec<&str> = mix.iter().map(|class| class.class.as_str()).collect();
            bail!("`class` is {class:?}: there are {}", names.join(", "));
        }
        let name = self.metric.name();
        let given = [
            ("percentile", self.percentile),
            ("at_most_ms", self.at_most_ms),
            ("at_most", self.at_most),
            ("at_least", self.at_least),
        ];
        let wanted: &[&str] = match self.metric {
            Metric::Failed => &["at_most"],
            Metric::Goodput => &["at_least"],
            _ => &["percentile", "at_most_ms"],
        };
        for (key, value) in given {
            ensure!(
                value.is_some() == wanted.contains(&key),
                "metric {name:?} takes {}, and `{key}` {}",
                wanted.join(" and "),
                match value {
                    Some(_) => "is given",
                    None => "is missing",
                }
            );
        }
        if let Some(percentile) = self.percentile {
            ensure!(
                percentile > 0.0 && percentile < 100.0,
                "`percentile` is {percentile}: must be between 0 and 100"
            );
        }
        if let Some(ms) = self.at_most_ms {
            ensure!(ms > 0.0, "`at_most_ms` is {ms}: must be above 0");
        }
        if let Some(share) = self.at_most.or(self.at_least) {
            ensure!(
                share > 0.0 && share < 1.0,
                "a share is {share}: must be between 0 and 1; no sample shows that nothing ever fails"
            );
        }
        let streamed = matches!(
            self.metric,
            Metric::Ttft | Metric::TtftFromSend | Metric::Tpot | Metric::ItlChunk
        );
        if let Some(class) = classes.find(|class| streamed && !class.stream) {
            bail!(
                "metric {name:?} is not measured for class {:?}, whose answers are not streamed",
                class.class
            );
        }
        Ok(())
    }

    /// The smallest sample that can show that it is met: of which all observations are good.
    pub fn observations_min(&self) -> u64 {
        let bad = match (self.percentile, self.at_most, self.at_least) {
            (Some(percentile), ..) => 1.0 - percentile / 100.0,
            (_, Some(at_most), _) => at_most,
            (.., at_least) => 1.0 - at_least.unwrap_or(0.0),
        };
        // Where nothing was seen in n, the interval of Clopper and Pearson ends at 1 - tail^(1/n).
        let tail = (1.0 - CONFIDENCE) / 2.0;
        (tail.ln() / (1.0 - bad).ln()).ceil() as u64
    }

    /// Whether it is about this class.
    pub fn is_about(&self, class: &str) -> bool {
        self.class.as_deref().is_none_or(|own| own == class)
    }

    /// Judges it by all that was measured of its classes.
    pub fn judge(&self, cell: &Cell) -> Judged {
        let failures = cell.failures();
        let (what, n, hits, limit, ms) = match (self.metric, self.metric.series()) {
            (_, Some(series)) => {
                let (p, limit_ms) = (
                    self.percentile.unwrap_or(50.0),
                    self.at_most_ms.unwrap_or(0.0),
                );
                let times = cell.series(series);
                let beyond = times.map_or(0, |times| above(times, limit_ms));
                let n = times.map_or(0, |times| times.len()) + failures;
                (
                    format!("{} p{p} at most {limit_ms} ms", series.name()),
                    n,
                    beyond + failures,
                    1.0 - p / 100.0,
                    times
                        .and_then(|times| percentile(times, failures, p))
                        .map(|it| it.ms),
                )
            }
            (Metric::Failed, None) => {
                let limit = self.at_most.unwrap_or(0.0);
                (
                    format!("failed at most {:.2} %", 100.0 * limit),
                    cell.requests,
                    failures,
                    limit,
                    None,
                )
            }
            (_, None) => {
                let limit = self.at_least.unwrap_or(1.0);
                (
                    format!("goodput at least {:.2} %", 100.0 * limit),
                    cell.requests,
                    cell.good,
                    limit,
                    None,
                )
            }
        };
        let interval = match n {
            0 => (0.0, 1.0),
            _ => binomial::interval(n, hits, CONFIDENCE),
        };
        let (low, high) = interval;
        let (within, without) = match self.metric {
            Metric::Goodput => (low >= limit, high < limit),
            _ => (high <= limit, low > limit),
        };
        Judged {
            slo: match &self.class {
                Some(class) => format!("{class}: {what}"),
                None => what,
            },
            verdict: match (within, without) {
                (true, _) => Verdict::Pass,
                (_, true) => Verdict::Fail,
                _ => Verdict::Inconclusive,
            },
            n,
            share: hits as f64 / n.max(1) as f64,
            share_interval: interval,
            share_limit: limit,
            ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::failure::Failure;
    use std::time::Duration;

    fn slo(metric: Metric) -> Slo {
        Slo {
            class: None,
            metric,
            percentile: metric.series().map(|_| 95.0),
            at_most_ms: metric.series().map(|_| 100.0),
            at_most: (metric == Metric::Failed).then_some(0.01),
            at_least: (metric == Metric::Goodput).then_some(0.9),
        }
    }

    /// Requests of which so many are fast, slow and failed.
    fn cell(fast: u64, slow: u64, failed: u64) -> Cell {
        let mut cell = Cell::default();
        cell.requests = fast + slow + failed;
        cell.answered = fast + slow;
        cell.good = fast;
        for number in 0..fast + slow {
            let ms = if number < fast { 50 } else { 500 };
            cell.record(Series::Ttft, Duration::from_millis(ms));
        }
        if failed > 0 {
            cell.failed.insert(Failure::Cut, failed);
        }
        cell
    }

    #[test]
    fn a_percentile_is_met_missed_or_not_decided() {
        let verdict = |cell: Cell| slo(Metric::Ttft).judge(&cell).verdict;
        assert_eq!(verdict(cell(990, 10, 0)), Verdict::Pass);
        assert_eq!(verdict(cell(900, 100, 0)), Verdict::Fail);
        assert_eq!(verdict(cell(950, 50, 0)), Verdict::Inconclusive);
        // Fifty fast answers, and nothing else, do not show a p95.
        assert_eq!(verdict(cell(50, 0, 0)), Verdict::Inconclusive);
        assert_eq!(verdict(cell(0, 0, 0)), Verdict::Inconclusive);
    }

    #[test]
    fn the_smallest_sample_that_shows_it_is_exact() {
        for metric in [Metric::Ttft, Metric::Failed, Metric::Goodput] {
            let slo = slo(metric);
            let n = slo.observations_min();
            assert_eq!(slo.judge(&cell(n, 0, 0)).verdict, Verdict::Pass, "{n}");
            assert_eq!(
                slo.judge(&cell(n - 1, 0, 0)).verdict,
                Verdict::Inconclusive,
                "{n}"
            );
        }
    }

    #[test]
    fn failures_miss_every_limit() {
        let judged = slo(Metric::Ttft).judge(&cell(900, 0, 100));
        assert_eq!(judged.verdict, Verdict::Fail);
        assert_eq!(judged.ms, Some(None));
        // Goodput is a share of all requests, not of those that succeeded.
        assert_eq!(slo(Metric::Goodput).judge(&cell(500, 0, 500)).share, 0.5);
        assert_eq!(
            slo(Metric::Failed).judge(&cell(900, 0, 100)).verdict,
            Verdict::Fail
        );
        assert_eq!(
            slo(Metric::Failed).judge(&cell(1000, 0, 0)).verdict,
            Verdict::Pass
        );
    }

    #[test]
    fn what_is_not_measured_is_refused() {
        let whole: Result<Class, _> =
            toml::from_str("class = 'c'\nstream = false\ninput_tokens = 1\noutput_tokens = 1");
        let message = whole.map(|class| slo(Metric::Ttft).check(&[class]));
        assert!(
            message
                .is_ok_and(|it| it.is_err_and(|error| error.to_string().contains("not streamed")))
        );
    }
}
