//! The list of cases, the list of flaws, and the rules of specifications.

use serde::Serialize;
use tabled::builder::Builder;
use tabled::settings::object::Columns;
use tabled::settings::{Style, Width};

use poolproof_model::coverage::{Document, Rule};
use poolproof_model::verdict::Level;

/// A case, as it is listed.
#[derive(Clone, Debug, Serialize)]
pub struct CaseRow {
    /// Its id.
    pub id: &'static str,
    /// The level of its requirement.
    pub level: Level,
    /// Whether it is slow: a run includes it only on demand.
    pub slow: bool,
    /// The requirement.
    pub requirement: &'static str,
    /// The source of the requirement.
    pub source: &'static str,
    /// What it needs from a target, in words.
    pub needs: Vec<&'static str>,
}

/// A flaw, as it is listed.
#[derive(Clone, Debug, Serialize)]
pub struct FlawRow {
    /// Its name.
    pub name: &'static str,
    /// Whether only slow cases catch it.
    pub slow: bool,
    /// The component that shows it.
    pub component: String,
    /// What it does.
    pub summary: &'static str,
    /// Where it was seen.
    pub seen: &'static str,
    /// The cases that must fail.
    pub caught_by: &'static [&'static str],
    /// The cases that need not pass.
    pub may_fail: &'static [&'static str],
}

/// Renders a table of cases.
pub fn cases(rows: &[CaseRow]) -> String {
    let cells = rows.iter().map(|row| {
        [
            marked(row.id, row.slow),
            row.level.to_string(),
            row.requirement.to_owned(),
            row.needs.join(", "),
        ]
    });
    wrapped(
        [("id", 32), ("level", 6), ("requirement", 64), ("needs", 44)],
        cells,
    )
}

/// Renders a table of flaws.
pub fn flaws(rows: &[FlawRow]) -> String {
    let cells = rows.iter().map(|row| {
        [
            marked(row.name, row.slow),
            row.component.clone(),
            row.summary.to_owned(),
            row.seen.to_owned(),
            row.caught_by.join(", "),
        ]
    });
    wrapped(
        [
            ("name", 28),
            ("component", 16),
            ("summary", 48),
            ("seen", 36),
            ("caught by", 32),
        ],
        cells,
    )
}

/// Renders a table of rules for each document.
pub fn coverage(documents: &[Document]) -> String {
    let table = |document: &Document| {
        let rows = document.rules.iter().map(|rule| {
            [
                rule.place.to_owned(),
                rule.sentence.to_owned(),
                checked_by(rule),
            ]
        });
        let rows = wrapped([("place", 32), ("rule", 64), ("checked by", 64)], rows);
        format!("{}: {}\n{rows}", document.name, counts(document))
    };
    let tables: Vec<String> = documents.iter().map(table).collect();
    tables.join("\n\n")
}

/// How many rules of a document are checked.
pub(crate) fn counts(document: &Document) -> String {
    let rules = document.rules.iter();
    let (some, none): (Vec<&Rule>, Vec<&Rule>) = rules.partition(|rule| !rule.cases.is_empty());
    let partly = some.iter().filter(|rule| !rule.gap.is_empty()).count();
    format!(
        "{} rules: {} checked, {partly} in part, {} not",
        document.rules.len(),
        some.len() - partly,
        none.len()
    )
}

/// The cases that check a rule, and what is left.
pub(crate) fn checked_by(rule: &Rule) -> String {
    let cases = rule.cases.join(", ");
    match (rule.cases.is_empty(), rule.gap.is_empty()) {
        (true, _) => format!("not covered, because {}", rule.gap),
        (false, true) => cases,
        (false, false) => format!("{cases}; not covered: {}", rule.gap),
    }
}

/// A name with the mark of what only a run with slow cases has.
fn marked(name: &str, slow: bool) -> String {
    if slow {
        format!("{name} (slow)")
    } else {
        name.to_owned()
    }
}

/// Renders a table. Each column has a heading and the width at which it wraps.
fn wrapped<const N: usize>(
    columns: [(&str, usize); N],
    rows: impl Iterator<Item = [String; N]>,
) -> String {
    let mut table = Builder::default();
    table.push_record(columns.map(|(heading, _)| heading));
    for row in rows {
        table.push_record(row);
    }
    let mut table = table.build();
    table.with(Style::sharp());
    for (number, (_, width)) in columns.iter().enumerate() {
        table.modify(Columns::one(number), Width::wrap(*width).keep_words(true));
    }
    table.to_string()
}
