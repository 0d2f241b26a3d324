//! The list of cases, the list of flaws and the rules of specifications, as GitHub Markdown.

use std::fmt::Write as _;

use super::escaped;
use crate::terminal::list::{CaseRow, FlawRow, checked_by, counts};
use poolproof_model::coverage::Document;

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

/// Renders a section with a table of rules for each document.
pub fn coverage(documents: &[Document]) -> String {
    let mut text = String::new();
    for document in documents {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "## {}\n\n{} {}.\n\n| place | rule | checked by |\n|---|---|---|",
            escaped(document.name),
            escaped(document.scope),
            counts(document)
        );
        for rule in document.rules {
            let _ = writeln!(
                text,
                "| {} | {} | {} |",
                escaped(rule.place),
                escaped(rule.sentence),
                escaped(&checked_by(rule))
            );
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use poolproof_model::coverage::Rule;
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
    #[test]
    fn a_rule_shows_its_cases_what_is_left_and_why_it_has_none() {
        const RULES: &[Rule] = &[
            Rule::checked("a", "A holds.", &["suite/a", "suite/b"]),
            Rule::partly("b", "B holds.", &["suite/a"], "the rest"),
            Rule::open("c", "C holds.", "nobody can see it"),
        ];
        let text = coverage(&[Document {
            name: "API v1",
            scope: "All of it.",
            cited_as: &[],
            rules: RULES,
        }]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "## API v1");
        assert_eq!(lines[2], "All of it. 3 rules: 1 checked, 1 in part, 1 not.");
        assert_eq!(
            lines[6..],
            [
                "| a | A holds. | suite/a, suite/b |",
                "| b | B holds. | suite/a; not covered: the rest |",
                "| c | C holds. | not covered, because nobody can see it |",
                "",
            ]
        );
    }
}
