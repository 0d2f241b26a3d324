//! The record as a table for a person at a terminal.

use std::fmt::Write as _;

use tabled::builder::Builder;
use tabled::settings::object::{Columns, Rows};
use tabled::settings::peaker::PriorityMax;
use tabled::settings::width::Width;
use tabled::settings::{Alignment, Modify, Style};

use super::{clipped, told, worth_telling};
use crate::records::run::{CaseRecord, Record};
use crate::verdict::Verdict;

/// How wide the table may be and whether it may use colour.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Columns of the terminal.
    pub width: usize,
    /// Whether verdicts are coloured.
    pub colour: bool,
}

/// The table, what did not pass in full, and the conclusion.
pub fn render(record: &Record, look: Look) -> String {
    let mut text = table(record, look.width);
    text.push('\n');
    for case in record.cases.iter().filter(|case| worth_telling(case)) {
        details(&mut text, case);
    }
    let took_s = (record.saved - record.started)
        .total(jiff::Unit::Second)
        .unwrap_or(0.0);
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "{}: {} ({}; seed {}; {took_s:.1} s)",
        clipped(&record.stack),
        record.conclusion(),
        record.counts(),
        record.seed
    );
    if let Some(way) = record.way() {
        text = text + &way + "\n";
    }
    if look.colour { coloured(&text) } else { text }
}

fn table(record: &Record, width: usize) -> String {
    let mut rows = Builder::default();
    rows.push_record(["case", "level", "verdict", "seconds", "what was found"]);
    for case in &record.cases {
        rows.push_record([
            clipped(&case.id).into_owned(),
            case.level.to_string(),
            case.outcome.verdict.to_string(),
            format!("{:.1}", case.took_ms as f64 / 1000.0),
            clipped(&case.outcome.summary).into_owned(),
        ]);
    }
    rows.build()
        .with(Style::sharp())
        .with(Modify::new(Columns::one(3)).with(Alignment::right()))
        .with(Modify::new(Rows::first()).with(Alignment::left()))
        .with(
            Width::wrap(width.max(60))
                .keep_words(true)
                .priority(PriorityMax::right()),
        )
        .to_string()
}

fn details(text: &mut String, case: &CaseRecord) {
    let outcome = &case.outcome;
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "\n{} {} ({})\n  requires: {}\n  source:   {}",
        outcome.verdict,
        clipped(&case.id),
        case.level,
        clipped(&case.requirement),
        clipped(&case.source)
    );
    for (kind, line) in told(outcome) {
        let _ = writeln!(text, "  {:9} {line}", format!("{kind}:"));
    }
}

/// Verdicts in colour, where they stand as a word of their own.
fn coloured(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let mut line = line.to_owned();
        for (verdict, code) in [
            (Verdict::Pass, 32),
            (Verdict::Fail, 31),
            (Verdict::Error, 31),
            (Verdict::Invalid, 33),
            (Verdict::Inconclusive, 33),
            (Verdict::Skip, 36),
        ] {
            let cell = format!("│ {verdict} ");
            line = line.replace(&cell, &format!("│ \x1b[{code}m{verdict}\x1b[0m "));
        }
        out.push_str(&line);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::Level;
    use crate::records::run::tests::record;
    use crate::verdict::{Findings, Mismatch, Outcome};

    #[test]
    fn a_failure_is_told_with_its_requirement_expected_and_actual() {
        let mut findings = Findings::default();
        findings.add(Err(Mismatch {
            what: "unknown model".into(),
            expected: 404.into(),
            actual: 200.into(),
        }));
        let record = record(&[
            (Level::Must, Outcome::pass("fine")),
            (Level::Must, findings.outcome("")),
        ]);
        let look = Look {
            width: 100,
            colour: false,
        };
        let text = render(&record, look);
        assert!(text.contains("suite/case-0"), "{text}");
        assert!(text.contains("requires: it works"), "{text}");
        assert!(
            text.contains("unknown model: expected 404, got 200"),
            "{text}"
        );
        assert!(
            text.contains("url: does not conform (1 pass, 1 fail; seed 1"),
            "{text}"
        );
        assert!(!text.contains('\x1b'));
    }
}
