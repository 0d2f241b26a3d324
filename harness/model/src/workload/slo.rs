//! Service level objectives for the responses of a load run.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Error, Result, anyhow, bail, ensure};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Class, DURATION_MAX_S, Series};
use poolproof_stats::interval::CONFIDENCE;

/// One objective of a workload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Slo {
    /// The class that it applies to [default: all].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// The metric.
    pub metric: Metric,
    /// The percentile of a time, such as 95.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percentile: Option<f64>,
    /// The limit of a time, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most_ms: Option<f64>,
    /// The largest allowed share of `failed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<f64>,
    /// The smallest allowed share of `goodput`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<f64>,
}

/// The metric of an objective.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "unknown metric: expected one of ttft, ttft-from-send, e2e, e2e-from-send, tpot, itl-chunk, itl-token, ttfa, failed, goodput"
)]
pub enum Metric {
    /// A time.
    Time(Series),
    /// A share of the requests.
    Share(Share),
}

/// A share of the requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Share {
    /// Failed requests.
    Failed,
    /// Requests that met every time limit of the workload on whole responses. The share is that of all requests,
    /// including failed ones.
    Goodput,
}

impl Metric {
    /// [`Share::Failed`]
    pub const FAILED: Self = Self::Share(Share::Failed);
    /// [`Share::Goodput`]
    pub const GOODPUT: Self = Self::Share(Share::Goodput);

    /// The series of a time metric.
    pub fn series(self) -> Option<Series> {
        match self {
            Self::Time(series) => Some(series),
            Self::Share(_) => None,
        }
    }

    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Time(series) => series.name(),
            Self::Share(Share::Failed) => "failed",
            Self::Share(Share::Goodput) => "goodput",
        }
    }
}

/// The default limit on the share of failed requests.
const FAILED_MAX: f64 = 0.01;

impl Slo {
    /// The default objective on failures.
    pub fn few_failures() -> Self {
        Self {
            class: None,
            metric: Metric::FAILED,
            percentile: None,
            at_most_ms: None,
            at_most: Some(FAILED_MAX),
            at_least: None,
        }
    }

    /// Fails on incomplete objectives, and on metrics that are not measured.
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
            Metric::FAILED => &["at_most"],
            Metric::GOODPUT => &["at_least"],
            Metric::Time(_) => &["percentile", "at_most_ms"],
        };
        for (key, value) in given {
            ensure!(
                value.is_some() == wanted.contains(&key),
                "metric {name:?} takes {}, and `{key}` {}",
                wanted.join(" and "),
                if value.is_some() {
                    "is given"
                } else {
                    "is missing"
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
            ensure!(
                ms > 0.0 && ms <= 1000.0 * DURATION_MAX_S,
                "`at_most_ms` is {ms}: must be above 0, and a week at most"
            );
        }
        if let Some(share) = self.at_most.or(self.at_least) {
            ensure!(
                share > 0.0 && share < 1.0,
                "a share is {share}: must be between 0 and 1; no sample shows that nothing ever fails"
            );
        }
        let streamed = self.metric.series().is_some_and(Series::needs_stream);
        if let Some(class) = classes.find(|class| streamed && !class.streams()) {
            bail!(
                "metric {name:?} is not measured for class {:?}, whose answers are not streamed",
                class.class
            );
        }
        Ok(())
    }

    /// The size of the smallest sample that can show that the objective is met, if all of its observations are good.
    pub fn observations_min(&self) -> u64 {
        let bad = match (self.percentile, self.at_most, self.at_least) {
            (Some(percentile), ..) => 1.0 - percentile / 100.0,
            (_, Some(at_most), _) => at_most,
            (.., at_least) => 1.0 - at_least.unwrap_or(0.0),
        };
        // With no hit in n, the interval of Clopper and Pearson ends at 1 - tail^(1/n).
        let tail = (1.0 - CONFIDENCE) / 2.0;
        (tail.ln() / (-bad).ln_1p()).ceil().max(1.0) as u64
    }

    /// Whether the objective applies to this class.
    pub fn is_about(&self, class: &str) -> bool {
        self.class.as_deref().is_none_or(|own| own == class)
    }

    /// The limit of a time.
    pub fn at_most(&self) -> Option<Duration> {
        Some(Duration::from_secs_f64(self.at_most_ms? / 1000.0))
    }
}

impl FromStr for Slo {
    type Err = Error;

    /// Reads an objective as the command line has it: `ttft.p95=200ms`, `e2e.p50=2s`, `failures=1%`, `goodput=99%`.
    fn from_str(text: &str) -> Result<Self> {
        const FORM: &str = "must be such as ttft.p95=200ms, e2e.p50=2s, failures=1% or goodput=99%";
        let (what, limit) = text
            .split_once('=')
            .with_context(|| format!("{text:?} has no limit: {FORM}"))?;
        let (name, percentile) = match what.split_once(".p") {
            Some((name, percentile)) => (name, Some(percentile)),
            None => (what, None),
        };
        let name = match name {
            "failures" => "failed",
            name => name,
        };
        let metric = toml::Value::from(name).try_into::<Metric>();
        let metric = metric.map_err(|error| anyhow!("{name:?}: {}; {FORM}", error.message()))?;
        let mut slo = Self {
            metric,
            at_most: None,
            ..Self::few_failures()
        };
        if metric.series().is_none() {
            ensure!(
                percentile.is_none(),
                "{text:?}: {name} is a share, which has no percentile: {FORM}"
            );
            let share = share(limit).with_context(|| format!("{limit:?} is no share: {FORM}"))?;
            if metric == Metric::FAILED {
                slo.at_most = Some(share);
            } else {
                slo.at_least = Some(share);
            }
        } else {
            let percentile = percentile.with_context(|| {
                format!("{text:?} has no percentile, such as {name}.p95: {FORM}")
            })?;
            let read = percentile.parse();
            slo.percentile =
                Some(read.with_context(|| format!("{percentile:?} is no percentile: {FORM}"))?);
            let ms = milliseconds(limit).with_context(|| {
                format!("{limit:?} is no time with a unit, such as 200ms or 2s: {FORM}")
            })?;
            slo.at_most_ms = Some(ms);
        }
        slo.check(&[])?;
        Ok(slo)
    }
}

/// A share as `1%` or `0.01`.
fn share(text: &str) -> Option<f64> {
    match text.strip_suffix('%') {
        Some(percent) => Some(percent.trim().parse::<f64>().ok()? / 100.0),
        None => text.parse().ok(),
    }
}

/// A time as `200ms` or `1.5s`, in milliseconds.
fn milliseconds(text: &str) -> Option<f64> {
    match text.strip_suffix("ms") {
        Some(ms) => ms.trim().parse().ok(),
        None => Some(1000.0 * text.strip_suffix('s')?.trim().parse::<f64>().ok()?),
    }
}

impl fmt::Display for Slo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(class) = &self.class {
            write!(f, "{class}: ")?;
        }
        let name = self.metric.name();
        let percent = |share: Option<f64>| 100.0 * share.unwrap_or_default();
        match self.metric {
            Metric::Time(_) => write!(
                f,
                "{name} p{} at most {} ms",
                self.percentile.unwrap_or_default(),
                self.at_most_ms.unwrap_or_default()
            ),
            Metric::FAILED => write!(f, "{name} at most {:.2} %", percent(self.at_most)),
            Metric::GOODPUT => write!(f, "{name} at least {:.2} %", percent(self.at_least)),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_objective_on_a_metric_that_is_not_measured_is_an_error() {
        let whole: Class =
            toml::from_str("class = 'c'\nstream = false\ninput_tokens = 1\noutput_tokens = 1")
                .unwrap();
        let slo: Slo = toml::from_str("metric = 'ttft'\npercentile = 95\nat_most_ms = 1").unwrap();
        let message = slo.check(&[whole]).unwrap_err().to_string();
        assert!(message.contains("not streamed"), "{message}");
    }

    #[test]
    fn an_objective_of_the_command_line_equals_that_of_a_file() {
        for (line, file) in [
            (
                "ttft.p95=200ms",
                "metric = 'ttft'\npercentile = 95\nat_most_ms = 200",
            ),
            (
                "e2e-from-send.p99.9=1.5s",
                "metric = 'e2e-from-send'\npercentile = 99.9\nat_most_ms = 1500",
            ),
            ("failures=1%", "metric = 'failed'\nat_most = 0.01"),
            ("goodput=0.99", "metric = 'goodput'\nat_least = 0.99"),
        ] {
            let file: Slo = toml::from_str(file).unwrap();
            assert_eq!(line.parse::<Slo>().unwrap(), file);
        }
        for (line, named) in [
            ("ttft.p95", "no limit"),
            ("ttft=200ms", "no percentile"),
            ("ttft.p95=200", "with a unit"),
            ("ttft.pmax=2s", "\"max\""),
            ("ttft.p100=2s", "between 0 and 100"),
            ("latency.p95=2s", "expected one of ttft"),
            ("goodput.p95=99%", "is a share"),
            ("failures=0%", "between 0 and 1"),
            ("failures=few", "\"few\""),
        ] {
            let message = format!("{:#}", line.parse::<Slo>().unwrap_err());
            assert!(message.contains(named), "{line}: {message}");
        }
    }

    #[test]
    fn an_unknown_metric_is_an_error_that_names_the_known_ones() {
        let message = toml::from_str::<Slo>("metric = 'ttfx'")
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("ttft-from-send") && message.contains("goodput"),
            "{message}"
        );
    }
}
