//! Annotations for GitHub Actions.
//!
//! Source: actions/toolkit, packages/core/src/command.ts (workflow commands and their escaping).

use super::clipped;
use poolproof_model::verdict::Level;
use poolproof_model::verdict::Verdict;
use poolproof_records::run::{CaseRecord, Record};

/// One line per case that did not pass: an error if it decides the run, else a warning.
pub fn annotations(record: &Record) -> String {
    let lines = record.cases.iter().filter_map(|case| {
        let kind = kind(case)?;
        let outcome = &case.outcome;
        Some(format!(
            "::{kind} title={}::{}: {}\n",
            escaped(&case.id).replace(':', "%3A").replace(',', "%2C"),
            outcome.verdict,
            escaped(&outcome.summary)
        ))
    });
    lines.collect()
}

fn kind(case: &CaseRecord) -> Option<&'static str> {
    match (case.outcome.verdict, case.level) {
        (Verdict::Pass | Verdict::Skip, _) => None,
        (_, Level::Must) => Some("error"),
        _ => Some("warning"),
    }
}

/// The line of an error about the run as a whole.
pub fn error(title: &str, text: &str) -> String {
    let title = escaped(title).replace(':', "%3A").replace(',', "%2C");
    format!("::error title={title}::{}\n", escaped(text))
}

/// Escapes text for a workflow command.
fn escaped(text: &str) -> String {
    clipped(text)
        .replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

#[cfg(test)]
mod tests {
    use super::*;
    use poolproof_model::verdict::Outcome;
    use poolproof_records::samples::record;

    #[test]
    fn deciding_cases_are_errors_and_texts_stay_on_their_line() {
        let hostile = Outcome::invalid("100 % lost\n::set-output name=x::y");
        let cases = [
            (Level::Must, Outcome::pass("fine")),
            (Level::Must, hostile.clone()),
            (Level::Should, hostile),
        ];
        let text = annotations(&record(&cases));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "::error title=suite/case-1::invalid: 100 %25 lost%0A::set-output name=x::y",
                "::warning title=suite/case-2::invalid: 100 %25 lost%0A::set-output name=x::y",
            ]
        );
    }
}
