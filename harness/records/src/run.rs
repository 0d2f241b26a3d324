//! The record of a run: everything needed to judge or repeat it. All tables and pages are renderings of it.

use std::fmt;
use std::path::Path;

use anyhow::Result;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::digest;
use super::environment::Environment;
use super::expect::Known;
use super::file;
use super::judged::Judged;
use super::round_trip::RoundTrip;
use poolproof_model::component::{Component, Step};
use poolproof_model::settings::Settings;
use poolproof_model::target::Target;
use poolproof_model::verdict::{Level, Outcome};

/// The version of the record's schema.
pub const SCHEMA: &str = crate::file::Kind::Run.schema();

/// A run, saved as `run.json`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Record {
    /// [`SCHEMA`].
    pub schema: String,
    /// The version of poolproof.
    pub tool_version: String,
    /// When the run started.
    pub started: Timestamp,
    /// When the record was last saved.
    pub saved: Timestamp,
    /// The digest of the rest of the record, see [`mod@crate::digest`]. Absent in older records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Whether the run was interrupted before its last case.
    pub interrupted: bool,
    /// The seed of all random choices.
    pub seed: u64,
    /// The smallest deviation of a split that must be caught, as a share.
    pub split_tolerance: f64,
    /// The chance that the run fails a correct stack.
    #[serde(default = "default_run_alpha")]
    pub run_alpha: f64,
    /// The chance that each statistical case catches the smallest deviation that matters.
    #[serde(default = "default_power")]
    pub power: f64,
    /// The name of the stack.
    pub stack: String,
    /// The flaw that was switched on, if any.
    pub flaw: Option<String>,
    /// The components of the stack, as detected.
    pub components: Vec<Component>,
    /// The steps of its start.
    pub start_steps: Vec<Step>,
    /// The processors of the client machine.
    pub client_cores: usize,
    /// The client machine, before the start of the stack. Absent in older records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<Environment>,
    /// The round trips to the gateway, if there is a network in between. Absent in older records.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub round_trips: Vec<RoundTrip>,
    /// The stack under test.
    pub target: Target,
    /// The cases, in the order in which they ran.
    pub cases: Vec<CaseRecord>,
}

/// One case of a run.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct CaseRecord {
    /// The id of the case.
    pub id: String,
    /// The requirement.
    pub requirement: String,
    /// The level of the requirement.
    pub level: Level,
    /// The source of the requirement.
    pub source: String,
    /// The duration in milliseconds.
    pub took_ms: u64,
    /// Why it was expected to fail on this stack; absent if it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known: Option<Known>,
    /// The outcome.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// The stack under test, as stored in a record.
#[derive(Clone, Debug)]
pub struct StackUnderTest<'a> {
    /// Its name.
    pub name: &'a str,
    /// The flaw that was switched on, if any.
    pub flaw: Option<String>,
    /// The components, as detected.
    pub components: &'a [Component],
    /// The steps of its start.
    pub start_steps: &'a [Step],
    /// Its target. Credentials in addresses are not stored.
    pub target: &'a Target,
}

/// The conclusion of a run over all cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conclusion {
    /// All Must cases that ran passed.
    Passed,
    /// All Must cases that ran passed, except for expected failures.
    KnownFailures,
    /// A Must case failed unexpectedly.
    Failed,
    /// No Must case failed unexpectedly, but a case passed that is listed as an expected failure.
    Outdated,
    /// No Must case failed, but one was not decided, or no case could run.
    Undecided,
    /// The run was interrupted.
    Interrupted,
}

impl fmt::Display for Conclusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Passed => "every Must case that could be run passed",
            Self::KnownFailures => {
                "every Must case that could be run passed, except for known failures"
            }
            Self::Failed => "does not conform",
            Self::Outdated => {
                "an expected failure passed: the list of expected failures is outdated"
            }
            Self::Undecided => "not decided",
            Self::Interrupted => "interrupted",
        })
    }
}

impl Record {
    /// A new record of a run.
    pub fn new(stack: StackUnderTest<'_>, settings: &Settings, environment: Environment) -> Self {
        let now = Timestamp::now();
        Self {
            schema: SCHEMA.to_owned(),
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            started: now,
            saved: now,
            digest: None,
            interrupted: false,
            seed: settings.seed,
            split_tolerance: settings.split_tolerance,
            run_alpha: settings.run_alpha,
            power: settings.power,
            stack: stack.name.to_owned(),
            flaw: stack.flaw,
            components: stack.components.to_vec(),
            start_steps: stack.start_steps.to_vec(),
            client_cores: environment.cores,
            environment: Some(environment),
            round_trips: Vec::new(),
            target: without_credentials(stack.target),
            cases: Vec::new(),
        }
    }

    /// Reads a record that [`Record::save`] wrote.
    pub fn read(path: &Path) -> Result<Self> {
        file::read_as(path, SCHEMA)
    }

    /// Saves the record atomically, with its digest.
    pub fn save(&mut self, path: &Path) -> Result<()> {
        self.saved = Timestamp::now();
        self.digest = Some(digest::of(self)?);
        file::save(self, path)
    }

    /// The round trips to the gateway in words; `None` without any.
    pub fn way(&self) -> Option<String> {
        let trips: Vec<String> = self.round_trips.iter().map(ToString::to_string).collect();
        (!trips.is_empty())
            .then(|| format!("a round trip to the gateway takes {}", trips.join(", ")))
    }

    /// The conclusion over all cases.
    pub fn conclusion(&self) -> Conclusion {
        let any = |is: &dyn Fn(Judged, Level) -> bool| {
            let mut cases = self.cases.iter();
            cases.any(|case| is(case.judged(), case.level))
        };
        let must = |wanted: Judged| any(&|judged, level| level == Level::Must && judged == wanted);
        if self.interrupted {
            Conclusion::Interrupted
        } else if must(Judged::Fail) {
            Conclusion::Failed
        } else if any(&Judged::fails) {
            Conclusion::Outdated
        } else if any(&Judged::leaves_undecided) || !any(&|judged, _| judged != Judged::Skip) {
            Conclusion::Undecided
        } else if must(Judged::KnownFailure) {
            Conclusion::KnownFailures
        } else {
            Conclusion::Passed
        }
    }

    /// The number of cases per judgement, in words. Judgements without cases are left out.
    pub fn counts(&self) -> String {
        let count = |judged: Judged| {
            let with = |case: &&CaseRecord| case.judged() == judged;
            (judged, self.cases.iter().filter(with).count())
        };
        let words: Vec<String> = Judged::ALL
            .map(count)
            .iter()
            .filter(|(_, count)| *count > 0)
            .map(|(judged, count)| format!("{count} {judged}"))
            .collect();
        words.join(", ")
    }
}

impl CaseRecord {
    /// The id of the suite.
    pub fn suite(&self) -> &str {
        self.id.split('/').next().unwrap_or(&self.id)
    }
}

/// The alpha of runs whose records do not contain it.
fn default_run_alpha() -> f64 {
    Settings::default().run_alpha
}

fn default_power() -> f64 {
    Settings::default().power
}

/// The target without user names and passwords, which must not appear in reports.
pub fn without_credentials(target: &Target) -> Target {
    let mut target = target.clone();
    // Both setters fail only for URLs that cannot carry credentials.
    let strip = |url: &mut url::Url| {
        let _ = url.set_username("");
        let _ = url.set_password(None);
    };
    strip(&mut target.url);
    target
        .metrics
        .iter_mut()
        .for_each(|metrics| strip(&mut metrics.url));
    target
        .changes
        .iter_mut()
        .for_each(|changes| strip(&mut changes.url));
    for pool in target.models.iter_mut().flat_map(|m| &mut m.pools) {
        pool.epp_metrics.iter_mut().for_each(strip);
        for endpoint in &mut pool.endpoints {
            endpoint.url.iter_mut().for_each(strip);
            endpoint.control.iter_mut().for_each(strip);
        }
    }
    target
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::samples::{fail, record};

    #[test]
    fn only_must_cases_decide() {
        let conclusion = |cases: &[(Level, Outcome)]| record(cases).conclusion();
        let pass = (Level::Must, Outcome::pass(""));
        assert_eq!(
            conclusion(&[pass.clone(), (Level::Should, fail())]),
            Conclusion::Passed
        );
        assert_eq!(
            conclusion(&[pass.clone(), (Level::Must, Outcome::invalid(""))]),
            Conclusion::Undecided
        );
        assert_eq!(
            conclusion(&[(Level::Must, Outcome::invalid("")), (Level::Must, fail())]),
            Conclusion::Failed
        );
        let skip = (Level::Must, Outcome::skip(""));
        assert_eq!(conclusion(&[pass, skip.clone()]), Conclusion::Passed);
        // A run without observations shows nothing.
        assert_eq!(conclusion(&[skip]), Conclusion::Undecided);
    }

    #[test]
    fn a_saved_record_is_read_back_without_credentials() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run.json");
        let mut saved = record(&[(Level::Must, Outcome::pass("fine"))]);
        saved.save(&path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains("secret"));
        let read = Record::read(&path).unwrap();
        assert_eq!(read.cases[0].outcome, saved.cases[0].outcome);
    }

    #[test]
    fn files_that_are_no_records_are_refused_with_the_reason() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run.json");
        let refused = |text: &str| {
            std::fs::write(&path, text).unwrap();
            format!("{:#}", Record::read(&path).unwrap_err())
        };
        let cut = refused(r#"{"schema": "poolproof/run/1", "seed": "#);
        assert!(cut.contains("run.json is not the whole record"), "{cut}");
        let future = refused(r#"{"schema": "poolproof/run/9"}"#);
        assert!(
            future.contains("\"poolproof/run/9\"") && future.contains(SCHEMA),
            "{future}"
        );
        let other = refused(r#"{"schema": "poolproof/run/1"}"#);
        assert!(other.contains("missing field"), "{other}");
    }
}
