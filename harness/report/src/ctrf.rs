//! The record in the Common Test Report Format 1.0.0 (ctrf.io), one test per case. Contents without a field are in `extra`.

use serde_json::{Value, json};

use poolproof_records::judged::Judged;
use poolproof_records::run::{CaseRecord, Record};

/// Renders the report.
pub fn render(record: &Record) -> Value {
    let count = |status: &str| {
        let with = |case: &&CaseRecord| self::status(case) == status;
        record.cases.iter().filter(with).count()
    };
    let suites = record.cases.chunk_by(|a, b| a.suite() == b.suite());
    json!({
        "reportFormat": "CTRF",
        "specVersion": "1.0.0",
        "timestamp": record.saved,
        "generatedBy": "poolproof",
        "results": {
            "tool": {"name": "poolproof", "version": record.tool_version},
            "summary": {
                "tests": record.cases.len(),
                "passed": count("passed"),
                "failed": count("failed"),
                "skipped": count("skipped"),
                "pending": 0,
                "other": count("other"),
                "suites": suites.count(),
                "start": record.started.as_millisecond(),
                "stop": record.saved.as_millisecond(),
                "extra": {"conclusion": record.conclusion().to_string()},
            },
            "tests": record.cases.iter().map(test).collect::<Vec<_>>(),
            "environment": {"extra": {
                "stack": record.stack,
                "flaw": record.flaw,
                "seed": record.seed,
                "components": record.components,
            }},
        },
    })
}

fn test(case: &CaseRecord) -> Value {
    let outcome = &case.outcome;
    let mut test = json!({
        "name": case.id,
        "status": status(case),
        "rawStatus": case.judged(),
        "duration": case.took_ms,
        "suite": [case.suite()],
        "message": case.summary(),
        "tags": [case.level],
        "extra": {
            "requirement": case.requirement,
            "source": case.source,
            "requests": outcome.requests,
            "mismatches": outcome.mismatches,
            "statistics": outcome.statistics,
            "evidence": outcome.evidence,
        },
    });
    if let Some(known) = &case.known {
        test["extra"]["known"] = json!(known);
    }
    test
}

/// Only what fails a run is `failed`. Other failures and undecided cases are `other`, since neither fails a run. CTRF has no status
/// for expected failures: they are `skipped`, and `rawStatus` sets them apart.
fn status(case: &CaseRecord) -> &'static str {
    match case.judged() {
        judged if judged.fails(case.level) => "failed",
        Judged::Pass => "passed",
        Judged::Skip | Judged::KnownFailure => "skipped",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use poolproof_model::verdict::{Level, Outcome, Verdict};
    use poolproof_records::samples::{record, with_expectations};

    #[test]
    fn each_case_has_one_status_and_the_summary_counts_them() {
        let mut fail = Outcome::pass("no");
        fail.verdict = Verdict::Fail;
        let report = render(&record(&[
            (Level::Must, Outcome::pass("fine")),
            (Level::Must, fail.clone()),
            (Level::Should, fail),
            (Level::Must, Outcome::skip("no urls")),
            (Level::Must, Outcome::invalid("late")),
        ]));
        let summary = &report["results"]["summary"];
        for (status, count) in [
            ("tests", 5),
            ("passed", 1),
            ("failed", 1),
            ("skipped", 1),
            ("other", 2),
        ] {
            assert_eq!(summary[status], count, "{status}");
        }
        assert_eq!(report["results"]["tests"][2]["rawStatus"], "fail");
        assert_eq!(report["results"]["tests"][2]["suite"], json!(["suite"]));
    }

    #[test]
    fn the_raw_status_sets_expected_failures_apart() {
        let report = render(&with_expectations());
        let found: Vec<(&str, &str)> = report["results"]["tests"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|test| Some((test["status"].as_str()?, test["rawStatus"].as_str()?)))
            .collect();
        assert_eq!(
            found,
            [
                ("passed", "pass"),
                ("failed", "fail"),
                ("skipped", "known-failure"),
                ("failed", "unexpected-pass"),
                ("skipped", "known-failure"),
                ("skipped", "skip"),
                ("other", "invalid"),
            ]
        );
    }
}
