//! Annotations for GitHub Actions.
//!
//! Source: actions/toolkit, packages/core/src/command.ts (workflow commands and their escaping).

use super::clipped;
use poolproof_model::verdict::Level;
use poolproof_records::judged::Judged;
use poolproof_records::run::{CaseRecord, Record};

/// One line per case that did not pass, or passed unexpectedly: an error if it decides the run, a notice for a known failure, else a
/// warning.
pub fn annotations(record: &Record) -> String {
    let lines = record.cases.iter().filter_map(|case| {
        let kind = kind(case)?;
        Some(format!(
            "::{kind} title={}::{}: {}\n",
            escaped(&case.id).replace(':', "%3A").replace(',', "%2C"),
            case.judged(),
            escaped(&case.summary())
        ))
    });
    lines.collect()
}

fn kind(case: &CaseRecord) -> Option<&'static str> {
    match (case.judged(), case.level) {
        (Judged::Pass | Judged::Skip, _) => None,
        (Judged::KnownFailure, _) => Some("notice"),
        (Judged::UnexpectedPass, _) | (_, Level::Must) => Some("error"),
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
    use poolproof_records::samples::{record, with_expectations};

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

    #[test]
    fn a_known_failure_is_a_notice_and_an_unexpected_pass_an_error() {
        let text = annotations(&with_expectations());
        let kinds: Vec<&str> = text
            .lines()
            .filter_map(|line| line.split(' ').next())
            .collect();
        assert_eq!(
            kinds,
            ["::error", "::notice", "::error", "::notice", "::error"]
        );
        let third = text.lines().nth(2).unwrap_or_default();
        let wanted =
            "::error title=suite/case-3::unexpected-pass: known.toml:2: suite/case-3 is listed";
        assert!(third.starts_with(wanted), "{third}");
    }
}
