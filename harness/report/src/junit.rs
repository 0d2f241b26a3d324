//! The record as JUnit XML, for CI systems: one test case per case. `fail` and `unexpected-pass` are failures, an undecided
//! case is an error, and `known-failure` counts as skipped, as expected failures do in pytest.

use std::time::Duration;

use anyhow::{Context, Result};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use poolproof_model::verdict::Verdict;
use poolproof_records::judged::Judged;
use poolproof_records::load;
use poolproof_records::run::{CaseRecord, Record};

/// Renders a run of cases.
pub fn render(record: &Record) -> Result<String> {
    let mut report = Report::new(format!("poolproof on {}", record.stack));
    for cases in record.cases.chunk_by(|a, b| a.suite() == b.suite()) {
        let mut test_suite = TestSuite::new(cases[0].suite());
        test_suite.add_test_cases(cases.iter().map(test_case));
        report.add_test_suite(test_suite);
    }
    report.to_string().context("writing junit")
}

/// Renders a load run: one test case per objective, and one for the validity of the measurement.
pub fn render_load(record: &load::Record) -> Result<String> {
    let mut test_suite = TestSuite::new(record.name.as_str());
    let trusted = match record.doubts.first() {
        None => TestCaseStatus::success(),
        Some(doubt) => with_message(NonSuccessKind::Error, Verdict::Invalid, doubt),
    };
    test_suite.add_test_case(TestCase::new("measurement", trusted));
    test_suite.add_test_cases(record.slos.iter().map(|slo| {
        let found = format!(
            "{:.3} % (95 %: {:.3} to {:.3} %, limit {:.3} %) of n={}",
            100.0 * slo.share,
            100.0 * slo.share_interval.0,
            100.0 * slo.share_interval.1,
            100.0 * slo.share_limit,
            slo.n
        );
        let status = match slo.verdict {
            Verdict::Pass => TestCaseStatus::success(),
            Verdict::Fail => with_message(NonSuccessKind::Failure, slo.verdict, &found),
            _ => with_message(NonSuccessKind::Error, slo.verdict, &found),
        };
        let mut test = TestCase::new(slo.slo.to_string(), status);
        test.set_system_out(found);
        test
    }));
    let mut report = Report::new(format!("poolproof on {}", record.stack));
    report.add_test_suite(test_suite);
    report.to_string().context("writing junit")
}

fn with_message(kind: NonSuccessKind, verdict: Verdict, message: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_message(message).set_type(verdict.to_string());
    status
}

fn test_case(case: &CaseRecord) -> TestCase {
    let outcome = &case.outcome;
    let judged = case.judged();
    let mut status = match judged {
        Judged::Pass => TestCaseStatus::success(),
        judged if judged.fails(case.level) => TestCaseStatus::non_success(NonSuccessKind::Failure),
        Judged::Inconclusive | Judged::Invalid | Judged::Error => {
            TestCaseStatus::non_success(NonSuccessKind::Error)
        }
        // Only Must cases may fail a build.
        _ => TestCaseStatus::skipped(),
    };
    if judged != Judged::Pass {
        status.set_message(case.summary());
        status.set_type(format!("{judged} ({})", case.level));
    }
    let mut test = TestCase::new(&case.id, status);
    test.set_classname(case.suite());
    test.set_time(Duration::from_millis(case.took_ms));
    let lines = outcome.mismatches.iter().map(ToString::to_string);
    let lines = lines.chain(outcome.statistics.iter().map(ToString::to_string));
    let lines = lines.chain(outcome.evidence.iter().cloned());
    let output: Vec<String> = std::iter::once(case.requirement.clone())
        .chain(lines)
        .collect();
    test.set_system_out(output.join("\n"));
    test
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::Path;

    use super::*;
    use poolproof_model::verdict::{Level, Outcome};
    use poolproof_records::samples::{record, with_expectations};

    #[test]
    fn verdicts_map_to_junit_states() {
        let mut fail = Outcome::pass("1 < 2 & \"so on\"");
        fail.verdict = Verdict::Fail;
        let text = render(&record(&[
            (Level::Must, Outcome::pass("fine")),
            (Level::Must, fail.clone()),
            (Level::Should, fail),
            (Level::Must, Outcome::skip("no urls")),
            (Level::Must, Outcome::invalid("late")),
        ]))
        .unwrap();
        assert!(
            text.contains("tests=\"5\" skipped=\"2\" errors=\"1\" failures=\"1\""),
            "{text}"
        );
        assert!(text.contains("1 &lt; 2 &amp; &quot;so on&quot;"), "{text}");
    }

    #[test]
    fn a_known_failure_counts_as_skipped_and_an_unexpected_pass_as_a_failure() {
        let text = render(&with_expectations()).unwrap();
        assert!(
            text.contains("tests=\"7\" skipped=\"3\" errors=\"1\" failures=\"2\""),
            "{text}"
        );
        for part in [
            "<skipped message=\"known failure: a cause",
            "type=\"known-failure (must)\"",
            "<failure message=\"known.toml:2: suite/case-3",
            "type=\"unexpected-pass (must)\"",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn objectives_are_test_cases_and_a_doubt_is_a_failure() {
        let reports = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../reports");
        let path = reports.join("load-local-envoy/load.json");
        let mut record = load::Record::read(&path).unwrap();
        record.slos[0].verdict = Verdict::Fail;
        record.slos[1].verdict = Verdict::Pass;
        record.doubts = vec!["the client was busy".to_owned()];
        let text = render_load(&record).unwrap();
        let tests = record.slos.len() + 1;
        assert!(text.contains(&format!("tests=\"{tests}\"")), "{text}");
        assert!(
            text.contains("failures=\"1\"") && text.contains("the client was busy"),
            "{text}"
        );
    }
}
