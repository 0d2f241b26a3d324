//! The record as GitHub Markdown, for pull requests, issues and job summaries.

pub mod list;

use std::fmt::Write as _;

use super::{clipped, detail_lines, needs_details};
use poolproof_records::run::{CaseRecord, Record};

/// Renders the conclusion, a table of the cases, the cases that did not pass in full, and the machine.
pub fn render(record: &Record) -> String {
    let mut text = format!(
        "## poolproof on {}: {}\n\n{}; seed {}",
        escaped(&record.stack),
        record.conclusion(),
        record.counts(),
        record.seed
    );
    if let Some(flaw) = &record.flaw {
        text += &format!("; flaw enabled: {}", escaped(flaw));
    }
    text += "\n\n| verdict | case | level | seconds | result |\n|---|---|---|---:|---|\n";
    for case in &record.cases {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "| {} | {} | {} | {:.1} | {} |",
            case.judged(),
            escaped(&case.id),
            case.level,
            case.took_ms as f64 / 1000.0,
            escaped(&case.summary())
        );
    }
    for case in record.cases.iter().filter(|case| needs_details(case)) {
        details(&mut text, case);
    }
    if let Some(environment) = &record.environment {
        text += &format!("\nMachine: {}.\n", escaped(&environment.in_words()));
    }
    if let Some(way) = record.way() {
        text += &format!("\nOn this stack, {way}.\n");
    }
    text
}

fn details(text: &mut String, case: &CaseRecord) {
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        "\n### {}: {} ({})\n\n{}\n\nSource: {}\n\n",
        escaped(&case.id),
        case.judged(),
        case.level,
        escaped(&case.requirement),
        escaped(&case.source)
    );
    for (kind, line) in detail_lines(case) {
        let _ = writeln!(text, "- {kind}: {}", escaped(&line));
    }
}

/// A text as a block of code. The fence is longer than any in the text, which cannot end the block so (CommonMark 0.31, section 4.5).
pub fn fenced(text: &str) -> String {
    let ticks = text.split(|c| c != '`').map(str::len).max();
    let fence = "`".repeat(ticks.unwrap_or(0).max(2) + 1);
    let text = text.trim_end_matches('\n');
    format!("{fence}text\n{text}\n{fence}")
}

/// Escapes untrusted text to one line without markup.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::new();
    for character in clipped(text).chars() {
        match character {
            '<' => out.push_str("&lt;"),
            '&' => out.push_str("&amp;"),
            '\n' => out.push(' '),
            '|' | '\\' | '`' | '*' | '_' | '[' | ']' | '~' | '#' | '@' => {
                out.push('\\');
                out.push(character);
            }
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use poolproof_model::verdict::Level;
    use poolproof_model::verdict::{Outcome, Verdict};
    use poolproof_records::samples::record;

    #[test]
    fn no_text_ends_the_block_of_code_that_it_is_in() {
        assert_eq!(fenced("a\n"), "```text\na\n```");
        assert_eq!(fenced("a\n```\n# b"), "````text\na\n```\n# b\n````");
    }

    #[test]
    fn failed_cases_are_shown_in_full_and_their_texts_are_escaped() {
        let mut fail = Outcome::pass("a | b\n<img src=x> \x1b[31m[x](y)");
        fail.verdict = Verdict::Fail;
        let text = render(&record(&[
            (Level::Must, Outcome::pass("fine")),
            (Level::Must, fail),
        ]));
        assert!(
            text.starts_with("## poolproof on url: does not conform\n\n1 pass, 1 fail; seed 1\n"),
            "{text}"
        );
        let row = "| fail | suite/case-1 | must | 1.5 | a \\| b &lt;img src=x> \u{fffd}\\[31m\\[x\\](y) |\n";
        assert!(text.contains(row), "{text}");
        assert!(
            text.contains("### suite/case-1: fail (must)") && !text.contains("### suite/case-0")
        );
    }
}
