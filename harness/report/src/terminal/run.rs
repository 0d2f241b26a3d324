//! The record of a run.

use std::fmt::Write as _;

use tabled::builder::Builder;
use tabled::settings::object::{Columns, Rows};
use tabled::settings::peaker::PriorityMax;
use tabled::settings::width::Width;
use tabled::settings::{Alignment, Color, Modify, Style};

use super::super::{clipped, detail_lines, needs_details};
use super::TableStyle;
use poolproof_records::judged::Judged;
use poolproof_records::run::{CaseRecord, Record};

/// Renders the table, the cases that did not pass in full, and the conclusion.
pub fn render(record: &Record, style: TableStyle) -> String {
    let mut text = table(record, style);
    text.push('\n');
    for case in record.cases.iter().filter(|case| needs_details(case)) {
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
    text
}

/// The column of verdicts.
const VERDICT_COLUMN: usize = 2;

fn table(record: &Record, style: TableStyle) -> String {
    let mut rows = Builder::default();
    rows.push_record(["case", "level", "verdict", "seconds", "result"]);
    for case in &record.cases {
        rows.push_record([
            clipped(&case.id).into_owned(),
            case.level.to_string(),
            case.judged().to_string(),
            format!("{:.1}", case.took_ms as f64 / 1000.0),
            clipped(&case.summary()).into_owned(),
        ]);
    }
    let mut table = rows.build();
    table
        .with(Style::sharp())
        .with(Modify::new(Columns::one(3)).with(Alignment::right()))
        .with(Modify::new(Rows::first()).with(Alignment::left()))
        .with(
            Width::wrap(style.width.max(60))
                .keep_words(true)
                .priority(PriorityMax::right()),
        );
    if style.colour {
        for (number, case) in record.cases.iter().enumerate() {
            // Row 0 holds the headings.
            table.modify((number + 1, VERDICT_COLUMN), colour(case.judged()));
        }
    }
    table.to_string()
}

fn details(text: &mut String, case: &CaseRecord) {
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "\n{} {} ({})\n  requires: {}\n  source:   {}",
        case.judged(),
        clipped(&case.id),
        case.level,
        clipped(&case.requirement),
        clipped(&case.source)
    );
    for (kind, line) in detail_lines(case) {
        let _ = writeln!(text, "  {:9} {line}", format!("{kind}:"));
    }
}

/// The colour of a judgement.
pub(crate) fn colour(judged: Judged) -> Color {
    match judged {
        Judged::Pass => Color::FG_GREEN,
        Judged::Fail | Judged::UnexpectedPass | Judged::Error => Color::FG_RED,
        Judged::KnownFailure | Judged::Invalid | Judged::Inconclusive => Color::FG_YELLOW,
        Judged::Skip => Color::FG_CYAN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use poolproof_model::verdict::Level;
    use poolproof_model::verdict::{Findings, Mismatch, Outcome};
    use poolproof_records::samples::record;

    #[test]
    fn a_failure_shows_its_requirement_expected_and_actual() {
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
        let style = TableStyle {
            width: 100,
            colour: false,
        };
        let text = render(&record, style);
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
