//! Verdicts: the conclusion of a case, and the numbers behind it.

use std::borrow::Cow;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::picture::Picture;
use crate::target::conceal;
use poolproof_stats::Statistic;

/// The level of a requirement (RFC 2119). Only `Must` decides conformance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// A gateway that fails it does not conform.
    Must,
    /// A gateway that fails it should document the reason.
    Should,
    /// A gateway may do either.
    May,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Must => "must",
            Self::Should => "should",
            Self::May => "may",
        })
    }
}

/// The conclusion of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The requirement holds, at the stated error rates.
    Pass,
    /// The requirement does not hold.
    Fail,
    /// The sample that time allowed cannot decide.
    Inconclusive,
    /// The measurement itself cannot be trusted.
    Invalid,
    /// The target lacks something that the case needs, or the user excluded the case.
    Skip,
    /// poolproof itself failed.
    Error,
}

impl Verdict {
    /// All verdicts.
    pub const ALL: [Self; 6] = [
        Self::Pass,
        Self::Fail,
        Self::Inconclusive,
        Self::Invalid,
        Self::Skip,
        Self::Error,
    ];
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Inconclusive => "inconclusive",
            Self::Invalid => "invalid",
            Self::Skip => "skip",
            Self::Error => "error",
        })
    }
}

/// An observation that differs from the requirement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Mismatch {
    /// The subject of the observation.
    pub what: String,
    /// The required value.
    pub expected: Value,
    /// The observed value.
    pub actual: Value,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |value: &Value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        write!(
            f,
            "{}: expected {}, got {}",
            self.what,
            plain(&self.expected),
            plain(&self.actual)
        )
    }
}

/// The result of a case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Outcome {
    /// The verdict.
    pub verdict: Verdict,
    /// The reason, in one line.
    pub summary: String,
    /// The number of requests sent through the gateway.
    #[serde(default)]
    pub requests: u64,
    /// With `fail`: each expectation that did not hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mismatches: Vec<Mismatch>,
    /// The statistical decisions, passed or not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub statistics: Vec<Statistic>,
    /// The sources that support the conclusion, and figures that are reported but not judged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<String>,
    /// Charts of what was measured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pictures: Vec<Picture>,
}

impl Outcome {
    fn new(verdict: Verdict, summary: impl Into<String>) -> Self {
        Self {
            verdict,
            summary: summary.into(),
            requests: 0,
            mismatches: Vec::new(),
            statistics: Vec::new(),
            evidence: Vec::new(),
            pictures: Vec::new(),
        }
    }

    /// The requirement holds.
    pub fn pass(summary: impl Into<String>) -> Self {
        Self::new(Verdict::Pass, summary)
    }

    /// The measurement cannot be trusted.
    pub fn invalid(reason: impl Into<String>) -> Self {
        Self::new(Verdict::Invalid, reason)
    }

    /// The sample cannot decide.
    pub fn inconclusive(reason: impl Into<String>) -> Self {
        Self::new(Verdict::Inconclusive, reason)
    }

    /// The case cannot run on this target.
    pub fn skip(reason: impl Into<String>) -> Self {
        Self::new(Verdict::Skip, reason)
    }

    /// poolproof itself failed.
    pub fn error(error: &anyhow::Error) -> Self {
        Self::new(Verdict::Error, format!("{error:#}"))
    }

    /// Adds a line of evidence.
    pub fn evidence(mut self, line: impl Into<String>) -> Self {
        self.evidence.push(line.into());
        self
    }

    /// With the secrets hidden that servers have repeated.
    pub fn without_secrets(mut self) -> Self {
        let hide = |text: &mut String| {
            if let Cow::Owned(shown) = conceal(text) {
                *text = shown;
            }
        };
        hide(&mut self.summary);
        self.evidence.iter_mut().for_each(hide);
        for mismatch in &mut self.mismatches {
            hide(&mut mismatch.what);
            hide_within(&mut mismatch.expected, &hide);
            hide_within(&mut mismatch.actual, &hide);
        }
        self
    }

    /// Whether the verdict is `fail`.
    pub fn failed(&self) -> bool {
        self.verdict == Verdict::Fail
    }
}

/// Applies `hide` to the texts of a value.
fn hide_within(value: &mut Value, hide: &impl Fn(&mut String)) {
    match value {
        Value::String(text) => hide(text),
        Value::Array(values) => values.iter_mut().for_each(|value| hide_within(value, hide)),
        Value::Object(fields) => {
            let values = fields.values_mut();
            values.for_each(|value| hide_within(value, hide));
        }
        _ => {}
    }
}

/// Collects expectations. A case fails if one of them does not hold.
#[derive(Debug, Default)]
pub struct Findings {
    checked: usize,
    mismatches: Vec<Mismatch>,
    statistics: Vec<Statistic>,
    evidence: Vec<String>,
    pictures: Vec<Picture>,
}

impl Findings {
    /// Adds an observation: `Ok`, or a mismatch.
    pub fn add(&mut self, found: Result<(), Mismatch>) {
        self.checked += 1;
        self.mismatches.extend(found.err());
    }

    /// Adds a statistical decision. A failure gets `expected` and `actual` in words.
    pub fn add_statistic(&mut self, statistic: Statistic) {
        self.checked += 1;
        let (low, high) = statistic.accepted;
        if !statistic.holds() {
            self.mismatches.push(Mismatch {
                what: statistic.of.clone(),
                expected: format!("{low:.4} to {high:.4} ({})", statistic.null).into(),
                actual: format!(
                    "{:.4} (n={}, p={:.2e}, alpha={:.1e}, power={:.4} against {})",
                    statistic.observed,
                    statistic.n,
                    statistic.p_value,
                    statistic.alpha,
                    statistic.power,
                    statistic.power_against
                )
                .into(),
            });
        }
        self.statistics.push(statistic);
    }

    /// Adds a line of evidence.
    pub fn note(&mut self, line: impl Into<String>) {
        self.evidence.push(line.into());
    }

    /// Adds a chart.
    pub fn show(&mut self, picture: Picture) {
        self.pictures.push(picture);
    }

    /// Whether an expectation has failed so far.
    pub fn failed(&self) -> bool {
        !self.mismatches.is_empty()
    }

    /// The number of expectations that have failed so far.
    pub fn mismatches(&self) -> usize {
        self.mismatches.len()
    }

    /// Whether nothing was observed so far.
    pub fn is_empty(&self) -> bool {
        self.checked == 0
    }

    /// The outcome: a pass with `summary`, or a failure with its mismatches. A case without observations is an error.
    pub fn outcome(self, summary: impl Into<String>) -> Outcome {
        let mut outcome = if self.checked == 0 {
            Outcome::new(Verdict::Error, "the case made no observation")
        } else if let Some(first) = self.mismatches.first() {
            let more = match self.mismatches.len() - 1 {
                0 => String::new(),
                more => format!(" (and {more} more)"),
            };
            Outcome::new(Verdict::Fail, format!("{first}{more}"))
        } else {
            Outcome::pass(summary)
        };
        outcome.mismatches = self.mismatches;
        outcome.statistics = self.statistics;
        outcome.evidence = self.evidence;
        outcome.pictures = self.pictures;
        outcome
    }

    /// Like [`Findings::outcome`], but `doubt` turns a failure into `invalid`: the measurement cannot be trusted.
    pub fn outcome_unless(self, summary: impl Into<String>, doubt: Option<String>) -> Outcome {
        let outcome = self.outcome(summary);
        match doubt {
            Some(reason) if outcome.failed() => Outcome {
                verdict: Verdict::Invalid,
                summary: format!("{reason}; would have failed: {}", outcome.summary),
                ..outcome
            },
            _ => outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(ok: bool) -> Result<(), Mismatch> {
        if ok {
            return Ok(());
        }
        Err(Mismatch {
            what: "status".into(),
            expected: 404.into(),
            actual: 200.into(),
        })
    }

    #[test]
    fn one_mismatch_fails_with_expected_and_actual() {
        let mut findings = Findings::default();
        findings.add(look(true));
        findings.add(look(false));
        let outcome = findings.outcome("fine");
        assert_eq!(outcome.verdict, Verdict::Fail);
        assert_eq!(outcome.summary, "status: expected 404, got 200");
    }

    #[test]
    fn empty_findings_are_an_error() {
        assert_eq!(Findings::default().outcome("fine").verdict, Verdict::Error);
    }

    #[test]
    fn doubt_turns_a_failure_into_invalid_but_keeps_a_pass() {
        for (ok, verdict) in [(true, Verdict::Pass), (false, Verdict::Invalid)] {
            let mut findings = Findings::default();
            findings.add(look(ok));
            let outcome = findings.outcome_unless("fine", Some("scrapes starved".into()));
            assert_eq!(outcome.verdict, verdict);
        }
    }
}
