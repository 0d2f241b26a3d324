//! The record of a run of cases as metrics. During the run it covers the cases that have ended.

use anyhow::Result;

use super::family::{Family, Labels};
use super::{about, shown, states, written};
use poolproof_model::verdict::Level;
use poolproof_records::judged::Judged;
use poolproof_records::run::{CaseRecord, Conclusion, Record};

const LEVELS: [Level; 3] = [Level::Must, Level::Should, Level::May];
const CONCLUSIONS: [(Conclusion, &str); 6] = [
    (Conclusion::Passed, "passed"),
    (Conclusion::KnownFailures, "known-failures"),
    (Conclusion::Failed, "failed"),
    (Conclusion::Outdated, "outdated"),
    (Conclusion::Undecided, "undecided"),
    (Conclusion::Interrupted, "interrupted"),
];

/// Renders cases by verdict, the time and requests of each case, and the conclusion.
pub fn render(record: &Record) -> Result<String> {
    let (version, flaw) = (&record.tool_version, record.flaw.as_deref());
    let conclusion = states("conclusion", &CONCLUSIONS, &record.conclusion());
    written(vec![
        Family::info(
            "poolproof_run",
            "Facts about the run.",
            about(version, &record.stack, flaw),
        ),
        Family::gauges(
            ("poolproof_run_start_time", "seconds"),
            "Start of the run, in Unix time.",
            [(Labels::new(), record.started.as_second() as f64)],
        ),
        Family::counters(
            ("poolproof_run", "cases"),
            "Cases that have ended.",
            cases(record),
        ),
        Family::gauges(
            ("poolproof_run_case_duration", "seconds"),
            "Duration of a case.",
            record
                .cases
                .iter()
                .map(|case| (judged(case), case.took_ms as f64 / 1000.0)),
        ),
        Family::counters(
            ("poolproof_run_case", "requests"),
            "Requests that a case sent through the gateway.",
            record.cases.iter().map(|case| {
                let labels = vec![("case", shown(&case.id))];
                (labels, case.outcome.requests)
            }),
        ),
        Family::gauges(
            ("poolproof_run_conclusion", ""),
            "Conclusion from the cases that have ended: 1 for the one that holds.",
            conclusion,
        ),
    ])
}

/// Includes judgements that no case has yet, so that the first one shows as an increase.
fn cases(record: &Record) -> impl Iterator<Item = (Labels, u64)> {
    LEVELS.into_iter().flat_map(move |level| {
        Judged::ALL.into_iter().map(move |judged| {
            let with = |case: &&CaseRecord| case.level == level && case.judged() == judged;
            let labels = vec![
                ("level", level.to_string()),
                ("verdict", judged.to_string()),
            ];
            (labels, record.cases.iter().filter(with).count() as u64)
        })
    })
}

fn judged(case: &CaseRecord) -> Labels {
    vec![
        ("case", shown(&case.id)),
        ("level", case.level.to_string()),
        ("verdict", case.judged().to_string()),
    ]
}
