//! The matrix as a table for the terminal. Columns are numbered; the stacks stand in a list before it.

use std::fmt::Write as _;

use tabled::builder::Builder;
use tabled::settings::object::Columns;
use tabled::settings::width::Width;
use tabled::settings::{Modify, Style};

use super::{LEGEND, Matrix, State, sign, word};
use crate::clipped;
use crate::terminal::TableStyle;
use crate::terminal::run::colour;

/// Columns before those of the stacks: whether stacks differ, the case, its level.
const BEFORE: usize = 3;
/// The widest name of a case before it wraps.
const CASE_WIDTH: usize = 34;
/// The mark of a case on which stacks differ.
const DIFFERS: &str = "≠";
/// The mark of a cell that differs from the version before.
const CHANGED: &str = "*";

/// Renders the stacks, the table, the totals, and what changes between versions.
pub fn render(matrix: &Matrix, style: TableStyle) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    for (number, column) in matrix.columns.iter().enumerate() {
        let _ = writeln!(
            text,
            "{:>3}  {}: {}\n     {}{}",
            number + 1,
            clipped(&column.name),
            clipped(&column.describe()),
            match &column.flaw {
                Some(flaw) => format!("FLAW {}: ", clipped(flaw)),
                None => String::new(),
            },
            clipped(&column.conclusion)
        );
    }
    let _ = writeln!(text, "\n{}", table(matrix, style));
    let _ = writeln!(
        text,
        "{DIFFERS} stacks differ; {CHANGED} differs from the version before; empty: not in that record"
    );
    for (judged, meaning) in LEGEND {
        let _ = writeln!(
            text,
            "{} {:9} {meaning}",
            sign(Some(judged)),
            word(Some(judged))
        );
    }
    for step in &matrix.steps {
        let _ = writeln!(
            text,
            "\n{} ({} → {}): {}",
            clipped(&step.title()),
            step.from + 1,
            step.to + 1,
            step.summary()
        );
        for change in &step.changes {
            let _ = writeln!(
                text,
                "  {} ({}): {} → {}",
                clipped(&change.case),
                change.level,
                change.from,
                change.to
            );
        }
    }
    for out in &matrix.left_out {
        let _ = writeln!(
            text,
            "\nleft out: {}: {}",
            clipped(&out.file),
            clipped(&out.reason)
        );
    }
    text
}

fn table(matrix: &Matrix, style: TableStyle) -> String {
    let mut rows = Builder::default();
    let mut heading = ["", "case", "level"].map(str::to_owned).to_vec();
    heading.extend((1..=matrix.columns.len()).map(|number| number.to_string()));
    rows.push_record(heading);
    let mut colours = Vec::new();
    for (number, row) in matrix.rows().enumerate() {
        let mut cells = vec![
            if row.differs { DIFFERS } else { "" }.to_owned(),
            clipped(&row.id).into_owned(),
            row.level.to_string(),
        ];
        for (column, cell) in row.cells.iter().enumerate() {
            let judged = cell.as_ref().map(|cell| cell.judged);
            let changed = cell.as_ref().is_some_and(|cell| cell.changed);
            cells.push(match (matrix.columns[column].state, judged) {
                (State::DidNotStart, _) => "no start".to_owned(),
                _ => word(judged).to_owned() + if changed { CHANGED } else { "" },
            });
            if let Some(judged) = judged {
                // Row 0 holds the headings.
                colours.push(((number + 1, column + BEFORE), colour(judged)));
            }
        }
        rows.push_record(cells);
    }
    for (at, level) in super::LEVELS.into_iter().enumerate() {
        let mut cells = vec![String::new(), format!("total {level}"), String::new()];
        let totals = matrix.columns.iter().map(|column| column.totals.get(at));
        cells.extend(totals.map(|total| {
            let total = total.map(super::Total::in_words).unwrap_or_default();
            total.replace(", ", "\n")
        }));
        rows.push_record(cells);
    }
    let mut table = rows.build();
    table
        .with(Style::sharp())
        .with(Modify::new(Columns::one(1)).with(Width::wrap(CASE_WIDTH).keep_words(true)));
    if style.colour {
        for (at, colour) in colours {
            table.modify(at, colour);
        }
    }
    table.to_string()
}
