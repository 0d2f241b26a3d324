//! The judgement of a case in its run: its verdict, read against the list of expected failures.
//!
//! Exit code, gate and all renderings use this judgement, so they never disagree.

use std::fmt;

use serde::Serialize;

use super::expect::Known;
use super::run::CaseRecord;
use poolproof_model::verdict::{Level, Verdict};

/// A verdict, with expected failures set apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Judged {
    /// The requirement holds.
    Pass,
    /// The requirement does not hold, and that was not expected.
    Fail,
    /// The requirement does not hold, as expected.
    KnownFailure,
    /// The requirement holds although the case is listed as an expected failure.
    UnexpectedPass,
    /// As [`Verdict::Inconclusive`], expected to fail or not.
    Inconclusive,
    /// As [`Verdict::Invalid`], expected to fail or not.
    Invalid,
    /// As [`Verdict::Skip`], expected to fail or not.
    Skip,
    /// As [`Verdict::Error`], expected to fail or not.
    Error,
}

impl Judged {
    /// All judgements.
    pub const ALL: [Self; 8] = [
        Self::Pass,
        Self::Fail,
        Self::KnownFailure,
        Self::UnexpectedPass,
        Self::Inconclusive,
        Self::Invalid,
        Self::Skip,
        Self::Error,
    ];

    /// The judgement of a verdict. `listed`: the case is listed as an expected failure.
    pub fn of(verdict: Verdict, listed: bool) -> Self {
        match (verdict, listed) {
            (Verdict::Pass, false) => Self::Pass,
            (Verdict::Pass, true) => Self::UnexpectedPass,
            (Verdict::Fail, false) => Self::Fail,
            (Verdict::Fail, true) => Self::KnownFailure,
            (Verdict::Inconclusive, _) => Self::Inconclusive,
            (Verdict::Invalid, _) => Self::Invalid,
            (Verdict::Skip, _) => Self::Skip,
            (Verdict::Error, _) => Self::Error,
        }
    }

    /// True if it fails a run. An outdated list does so at every level, a failure only of a Must case.
    pub fn fails(self, level: Level) -> bool {
        match self {
            Self::UnexpectedPass => true,
            Self::Fail => level == Level::Must,
            _ => false,
        }
    }

    /// True if it leaves a run undecided.
    pub fn leaves_undecided(self, level: Level) -> bool {
        level == Level::Must && matches!(self, Self::Inconclusive | Self::Invalid | Self::Error)
    }
}

impl fmt::Display for Judged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::KnownFailure => "known-failure",
            Self::UnexpectedPass => "unexpected-pass",
            Self::Inconclusive => "inconclusive",
            Self::Invalid => "invalid",
            Self::Skip => "skip",
            Self::Error => "error",
        })
    }
}

impl Known {
    /// What follows from the entry for its case, in one line.
    pub fn expectation(&self, case: &str, judged: Judged) -> String {
        let place = format!("{}:{}", self.file, self.line);
        match judged {
            Judged::KnownFailure => {
                format!("known failure: {} ({}; {place})", self.reason, self.link)
            }
            Judged::UnexpectedPass => format!(
                "{place}: {case} is listed as an expected failure, but it passes: remove this line and the rest of its entry"
            ),
            _ => format!(
                "{place} lists it as an expected failure; {judged} neither confirms nor refutes that"
            ),
        }
    }
}

impl CaseRecord {
    /// The judgement of the case.
    pub fn judged(&self) -> Judged {
        Judged::of(self.outcome.verdict, self.known.is_some())
    }

    /// What follows from the list of expected failures, in one line. `None` if the case is not listed.
    pub fn expectation(&self) -> Option<String> {
        let known = self.known.as_ref()?;
        Some(known.expectation(&self.id, self.judged()))
    }

    /// The finding of the case in one line, after what follows from the list of expected failures.
    pub fn summary(&self) -> String {
        let summary = &self.outcome.summary;
        match self.expectation() {
            Some(expectation) => format!("{expectation}; {summary}"),
            None => summary.clone(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::run::Conclusion;
    use super::*;
    use crate::samples::{fail, known, record};
    use poolproof_model::verdict::Outcome;

    #[test]
    fn only_pass_and_fail_change_by_being_listed() {
        for verdict in Verdict::ALL {
            let (unlisted, listed) = (Judged::of(verdict, false), Judged::of(verdict, true));
            assert_eq!(unlisted.to_string(), verdict.to_string());
            match verdict {
                Verdict::Pass => assert_eq!(listed, Judged::UnexpectedPass),
                Verdict::Fail => assert_eq!(listed, Judged::KnownFailure),
                _ => assert_eq!(listed, unlisted),
            }
        }
    }

    #[test]
    fn every_judgement_has_one_name() {
        for judged in Judged::ALL {
            let name = serde_json::to_value(judged).unwrap();
            assert_eq!(name, judged.to_string());
        }
    }

    /// The conclusion of a run of a Must case that passes and of one more case.
    fn conclusion(level: Level, outcome: Outcome, listed: bool) -> Conclusion {
        let mut record = record(&[(Level::Must, Outcome::pass("")), (level, outcome)]);
        record.cases[1].known = listed.then(known);
        record.conclusion()
    }

    #[test]
    fn a_listed_failure_fails_no_run_and_a_listed_pass_fails_it_at_every_level() {
        use Conclusion::{Failed, KnownFailures, Outdated, Passed, Undecided};
        let pass = || Outcome::pass("");
        let error = || Outcome::error(&anyhow::anyhow!("x"));
        for (level, outcome, unlisted, listed) in [
            (Level::Must, fail(), Failed, KnownFailures),
            (Level::Should, fail(), Passed, Passed),
            (Level::May, fail(), Passed, Passed),
            (Level::Must, pass(), Passed, Outdated),
            (Level::Should, pass(), Passed, Outdated),
            (Level::May, pass(), Passed, Outdated),
            (Level::Must, Outcome::skip(""), Passed, Passed),
            (Level::Must, Outcome::inconclusive(""), Undecided, Undecided),
            (Level::Must, Outcome::invalid(""), Undecided, Undecided),
            (Level::Must, error(), Undecided, Undecided),
            (Level::Should, Outcome::invalid(""), Passed, Passed),
            (Level::Should, error(), Passed, Passed),
        ] {
            let found = |listed| conclusion(level, outcome.clone(), listed);
            assert_eq!(found(false), unlisted, "{level} {outcome:?}");
            assert_eq!(found(true), listed, "{level} {outcome:?}, listed");
        }
    }

    #[test]
    fn an_unexpected_failure_outweighs_an_outdated_list() {
        let mut record = record(&[(Level::Must, Outcome::pass("")), (Level::Must, fail())]);
        record.cases[0].known = Some(known());
        assert_eq!(record.conclusion(), Conclusion::Failed);
        assert_eq!(record.counts(), "1 fail, 1 unexpected-pass");
    }

    #[test]
    fn a_listed_case_that_passes_names_the_line_to_remove() {
        let mut record = record(&[(Level::Must, Outcome::pass("")), (Level::Must, fail())]);
        assert_eq!(record.cases[0].expectation(), None);
        for case in &mut record.cases {
            case.known = Some(known());
        }
        let said = |number: usize| record.cases[number].expectation().unwrap();
        assert!(
            said(0).starts_with("known.toml:2: suite/case-0"),
            "{}",
            said(0)
        );
        assert!(said(0).contains("remove this line"), "{}", said(0));
        assert!(said(1).starts_with("known failure: a cause"), "{}", said(1));
    }
}
