//! The self-test: each flaw with the cases that must catch it.

use tabled::builder::Builder;
use tabled::settings::Style;

use poolproof_cases::selftest::{Cell, Expected, Row};
use poolproof_model::verdict::{Outcome, Verdict};

/// Renders a row per flaw and a column per case.
pub fn matrix(rows: &[Row], columns: &[&str], markdown: bool) -> String {
    let mut matrix = Builder::default();
    let mut head = vec!["flaw".to_owned()];
    head.extend((1..=columns.len()).map(|number| number.to_string()));
    head.extend(["caught", "seconds"].map(str::to_owned));
    matrix.push_record(head);
    for row in rows {
        let mut record = vec![row.flaw.unwrap_or("(none)").to_owned()];
        for column in columns {
            let cell = row.cells.iter().find(|cell| cell.case == *column);
            record.push(cell.map_or(String::new(), in_short));
        }
        record.push(match row.flaw {
            Some(_) => format!("{}/{}", row.caught, row.runs),
            None => String::new(),
        });
        record.push(format!("{:.1}", row.took_ms as f64 / 1000.0));
        matrix.push_record(record);
    }
    let mut matrix = matrix.build();
    if markdown {
        matrix.with(Style::markdown())
    } else {
        matrix.with(Style::sharp().remove_vertical())
    };
    matrix.to_string()
}

/// Deviations from the table, and faults of the table itself.
pub fn deviations(rows: &[Row], faults: &[String]) -> Vec<String> {
    let mut lines = Vec::new();
    for row in rows {
        for cell in &row.cells {
            for outcome in cell.deviations() {
                lines.push(format!(
                    "{}: {} must {}, but: {} ({})",
                    row.flaw.unwrap_or("without a flaw"),
                    cell.case,
                    if cell.expected == Expected::Fail {
                        "fail"
                    } else {
                        "pass"
                    },
                    outcome.verdict,
                    outcome.summary
                ));
            }
        }
    }
    lines.extend(faults.iter().map(|fault| format!("the table: {fault}")));
    lines
}

/// Renders a cell: the result, how often if not always, and `!` if it is not as expected.
fn in_short(cell: &Cell) -> String {
    let runs = cell.outcomes.len();
    let failures = cell.failures();
    let skipped = |outcome: &Outcome| outcome.verdict == Verdict::Skip;
    let undecided = cell.outcomes.iter().any(|outcome| {
        !matches!(
            outcome.verdict,
            Verdict::Pass | Verdict::Fail | Verdict::Skip
        )
    });
    let mut text = match (failures, cell.expected) {
        _ if runs == 0 => String::new(),
        (0, _) if undecided => "?".to_owned(),
        (0, _) if cell.outcomes.iter().all(skipped) => "-".to_owned(),
        (0, _) => ".".to_owned(),
        (_, Expected::Fail) if failures == runs => "F".to_owned(),
        _ if failures == runs => "f".to_owned(),
        _ => format!("{failures}/{runs}"),
    };
    if cell.deviations().next().is_some() {
        text.push('!');
    }
    text
}

/// The legend for column numbers and cell marks.
pub fn legend(columns: &[&str], markdown: bool) -> String {
    let ids = columns.iter().enumerate();
    let ids: Vec<String> = ids
        .map(|(number, id)| format!("{} {id}", number + 1))
        .collect();
    let separator = if markdown { ", " } else { "\n" };
    format!(
        "\n{}\n\nF must fail and did, f may fail and did, n/m how often if not always, . passed, - skipped, ? not decided, \
         ! not as the table says\n",
        ids.join(separator)
    )
}
