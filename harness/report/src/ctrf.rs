//! The record in the Common Test Report Format 1.0.0 (ctrf.io), one test per case. Contents without a field are in `extra`.

use serde_json::{Value, json};

use poolproof_model::verdict::Level;
use poolproof_model::verdict::Verdict;
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
    json!({
        "name": case.id,
        "status": status(case),
        "rawStatus": outcome.verdict,
        "duration": case.took_ms,
        "suite": [case.suite()],
        "message": outcome.summary,
        "tags": [case.level],
        "extra": {
            "requirement": case.requirement,
            "source": case.source,
            "requests": outcome.requests,
            "mismatches": outcome.mismatches,
            "statistics": outcome.statistics,
            "evidence": outcome.evidence,
        },
    })
}

/// Only a failed Must case is `failed`. Other failures and undecided cases are `other`, since neither fails a run.
fn status(case: &CaseRecord) -> &'static str {
    match case.outcome.verdict {
        Verdict::Pass => "passed",
        Verdict::Fail if case.level == Level::Must => "failed",
        Verdict::Skip => "skipped",
        Verdict::Fail | Verdict::Inconclusive | Verdict::Invalid | Verdict::Error => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use poolproof_model::verdict::Outcome;
    use poolproof_records::samples::record;

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
}
