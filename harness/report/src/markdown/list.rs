//! The list of cases, and the list of flaws, as GitHub Markdown.

use std::fmt::Write as _;

use super::escaped;
use crate::terminal::list::{CaseRow, FlawRow};

/// Renders a table of cases with the source of each requirement.
pub fn cases(rows: &[CaseRow]) -> String {
    let mut text =
        "| case | level | requirement | source | needs |\n|---|---|---|---|---|\n".to_owned();
    for row in rows {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "| {}{} | {} | {} | {} | {} |",
            escaped(row.id),
            if row.slow { " (slow)" } else { "" },
            row.level,
            escaped(row.requirement),
            escaped(row.source),
            escaped(&row.needs.join(", "))
        );
    }
    text
}

/// Renders a table of flaws with the cases that catch each.
pub fn flaws(rows: &[FlawRow]) -> String {
    let mut text =
        "| flaw | component | what it does | seen | caught by |\n|---|---|---|---|---|\n"
            .to_owned();
    for row in rows {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "| {}{} | {} | {} | {} | {} |",
            escaped(row.name),
            if row.slow { " (slow)" } else { "" },
            escaped(&row.component),
            escaped(row.summary),
            escaped(row.seen),
            escaped(&row.caught_by.join(", "))
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use poolproof_model::verdict::Level;

    #[test]
    fn a_case_is_one_row_and_its_texts_are_escaped() {
        let row = CaseRow {
            id: "suite/case",
            level: Level::Must,
            slow: true,
            requirement: "a | b",
            source: "RFC 9110\nsection 1",
            needs: vec!["one", "two"],
        };
        let text = cases(&[row]);
        let last = text.lines().last();
        assert_eq!(
            last,
            Some("| suite/case (slow) | must | a \\| b | RFC 9110 section 1 | one, two |")
        );
    }
}
