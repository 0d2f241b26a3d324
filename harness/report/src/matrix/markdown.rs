//! The matrix as GitHub Markdown. Each cell links to the record or the page of its run.

use std::fmt::Write as _;

use super::{Column, LEGEND, Matrix, State, sign, word};
use crate::markdown::escaped;

/// Renders the stacks, the table with its totals, and what changes between versions.
pub fn render(matrix: &Matrix) -> String {
    let mut text = "| stack | place | gateway | picker | model servers | result |\n|---|---|---|---|---|---|\n".to_owned();
    // Writing to a string cannot fail.
    for column in &matrix.columns {
        let [gateway, picker, model_server] = column.parts().map(|(_, part)| {
            part.map_or("not recorded".to_owned(), |part| escaped(&part.to_string()))
        });
        let _ = writeln!(
            text,
            "| {} | {} | {gateway} | {picker} | {model_server} | {}{} |",
            linked(&escaped(&column.name), column),
            column.place,
            match &column.flaw {
                Some(flaw) => format!("**flaw {}**: ", escaped(flaw)),
                None => String::new(),
            },
            escaped(&column.conclusion)
        );
    }
    text += "\n| | case | level |";
    for column in &matrix.columns {
        let _ = write!(text, " {} |", escaped(&column.name));
    }
    text += "\n|---|---|---|";
    text += &"---|".repeat(matrix.columns.len());
    text.push('\n');
    for row in matrix.rows() {
        let differs = if row.differs { "≠" } else { "" };
        let _ = write!(text, "| {differs} | {} | {} |", escaped(&row.id), row.level);
        for (column, cell) in matrix.columns.iter().zip(&row.cells) {
            let shown = match cell {
                _ if column.state == State::DidNotStart => linked("did not start", column),
                None => String::new(),
                Some(cell) => {
                    let judged = Some(cell.judged);
                    let shown = format!("{} {}", sign(judged), word(judged));
                    let shown = linked(&shown, column);
                    if cell.changed {
                        format!("**{shown}** \\*")
                    } else {
                        shown
                    }
                }
            };
            let _ = write!(text, " {shown} |");
        }
        text.push('\n');
    }
    for (at, level) in super::LEVELS.into_iter().enumerate() {
        let _ = write!(text, "| | **total** | {level} |");
        for column in &matrix.columns {
            let total = column.totals.get(at).map(super::Total::in_words);
            let _ = write!(text, " {} |", total.unwrap_or_default());
        }
        text.push('\n');
    }
    text += "\n≠: the requirement holds on one stack and fails on another. \\*: another verdict than with the version before. Empty: not in that record.\n\n";
    for (judged, meaning) in LEGEND {
        let _ = writeln!(
            text,
            "- {} {}: {meaning}",
            sign(Some(judged)),
            word(Some(judged))
        );
    }
    steps(&mut text, matrix);
    if !matrix.left_out.is_empty() {
        text += "\n## Left out\n\n";
    }
    for out in &matrix.left_out {
        let _ = writeln!(text, "- {}: {}", escaped(&out.file), escaped(&out.reason));
    }
    text
}

fn steps(text: &mut String, matrix: &Matrix) {
    if !matrix.steps.is_empty() {
        *text += "\n## Changes between versions\n";
    }
    for step in &matrix.steps {
        let name = |at: usize| escaped(&matrix.columns[at].name);
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "\n{} ({} → {}): {}.",
            escaped(&step.title()),
            name(step.from),
            name(step.to),
            step.summary()
        );
        if !step.changes.is_empty() {
            text.push('\n');
        }
        for change in &step.changes {
            let _ = writeln!(
                text,
                "- {} ({}): {} → {}",
                escaped(&change.case),
                change.level,
                change.from,
                change.to
            );
        }
    }
}

/// A link to the evidence of a column.
fn linked(shown: &str, column: &Column) -> String {
    // These characters would end the link.
    let mut target = String::new();
    for character in column.link.chars() {
        match character {
            ' ' | '(' | ')' | '<' | '>' | '|' | '\\' | '%' => {
                let _ = write!(target, "%{:02X}", character as u32);
            }
            other => target.push(other),
        }
    }
    format!("[{shown}]({target})")
}
