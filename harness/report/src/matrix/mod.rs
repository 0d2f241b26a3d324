//! The matrix: cases by suite against stacks, from records alone.
//!
//! A column is a stack: its place, its gateway, picker and model servers with their versions. A cell is the judgement of a case on it.
//! [`Matrix::of`] builds the table as plain values; [`terminal`], [`markdown`] and [`html`] render it, and it serializes to JSON.

pub mod html;
pub mod markdown;
pub mod part;
pub mod read;
mod rows;
mod steps;
pub mod terminal;

use std::cmp::Ordering;

use jiff::Timestamp;
use serde::Serialize;

use part::{Part, by_number};
use poolproof_model::parts::{Named, StackKind};
use poolproof_model::verdict::Level;
use poolproof_records::judged::Judged;
use poolproof_records::not_started::NotStarted;
use poolproof_records::run::Record;

/// The version of the matrix as JSON.
pub const SCHEMA: &str = "poolproof/matrix/1";

/// The levels, in the order of the totals.
pub(crate) const LEVELS: [Level; 3] = [Level::Must, Level::Should, Level::May];

/// What is known of a stack: its record, or why it did not start.
#[derive(Clone, Debug)]
pub enum Evidence {
    /// A run.
    Ran(Box<Record>),
    /// The stack did not start.
    NotStarted(NotStarted),
}

/// A stack with its evidence, as it was read.
#[derive(Clone, Debug)]
pub struct Source {
    /// The name of its column.
    pub name: String,
    /// The file to which its cells link.
    pub link: String,
    /// What is known of it.
    pub evidence: Evidence,
}

/// A file that has no column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// The file, or its folder.
    pub file: String,
    /// Why.
    pub reason: String,
}

/// The whole table.
#[derive(Clone, Debug, Serialize)]
pub struct Matrix {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// The stacks. Versions of one part stand side by side.
    pub columns: Vec<Column>,
    /// The cases by suite.
    pub suites: Vec<Suite>,
    /// The steps between versions of one part.
    pub steps: Vec<Step>,
    /// What has no column, with the reason.
    pub left_out: Vec<LeftOut>,
}

/// A stack.
#[derive(Clone, Debug, Serialize)]
pub struct Column {
    /// Its name, unique in the matrix.
    pub name: String,
    /// Where it ran.
    pub place: &'static str,
    /// Its gateway; absent if the record does not name one.
    pub gateway: Option<Part>,
    /// Its endpoint picker.
    pub picker: Option<Part>,
    /// Its model servers.
    pub model_server: Option<Part>,
    /// The flaw that was switched on.
    pub flaw: Option<String>,
    /// When its run started.
    pub started: Option<Timestamp>,
    /// How its run ended.
    pub state: State,
    /// Its conclusion in words, or why it did not start.
    pub conclusion: String,
    /// The file that holds the evidence of all its cells.
    pub link: String,
    /// Its cases by level.
    pub totals: Vec<Total>,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It ran to its end.
    Ran,
    /// It was interrupted: cases are missing.
    Interrupted,
    /// The stack did not start.
    DidNotStart,
}

/// The number of cases of a level per judgement.
#[derive(Clone, Debug, Serialize)]
pub struct Total {
    /// The level.
    pub level: Level,
    /// Judgements that occur, with their numbers.
    pub counts: Vec<(Judged, usize)>,
}

/// The cases of a suite.
#[derive(Clone, Debug, Serialize)]
pub struct Suite {
    /// Its id.
    pub id: String,
    /// Its cases.
    pub rows: Vec<Row>,
}

/// A case.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Its id.
    pub id: String,
    /// The level of its requirement, from the newest record.
    pub level: Level,
    /// Its requirement, from the newest record.
    pub requirement: String,
    /// The source of the requirement, from the newest record.
    pub source: String,
    /// True if the requirement holds on one stack and fails on another.
    pub differs: bool,
    /// One cell per column; `None`: not in the record.
    pub cells: Vec<Option<Cell>>,
}

/// The judgement of a case on a stack.
#[derive(Clone, Debug, Serialize)]
pub struct Cell {
    /// The judgement.
    pub judged: Judged,
    /// True if the previous version of a part had another judgement.
    pub changed: bool,
    /// The finding in one line.
    pub summary: String,
    /// The kind of each line of details, and the line. Empty for a pass and a skip.
    pub details: Vec<(&'static str, String)>,
}

/// Two stacks that differ only in the versions of their parts.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// The column of the earlier version.
    pub from: usize,
    /// The column of the later version.
    pub to: usize,
    /// The parts with another version: role, before, after.
    pub parts: Vec<(&'static str, Part, Part)>,
    /// The cases with another judgement.
    pub changes: Vec<Change>,
    /// The number of cases that only one of the two records has.
    pub only_one: usize,
}

/// A case with another judgement.
#[derive(Clone, Debug, Serialize)]
pub struct Change {
    /// The case.
    pub case: String,
    /// Its level.
    pub level: Level,
    /// The judgement with the earlier version.
    pub from: Judged,
    /// The judgement with the later version.
    pub to: Judged,
}

impl Matrix {
    /// Builds the table.
    pub fn of(sources: Vec<Source>, left_out: Vec<LeftOut>) -> Self {
        let mut all: Vec<(Column, Source)> = sources
            .into_iter()
            .map(|source| (Column::of(&source), source))
            .collect();
        all.sort_by(|(left, _), (right, _)| left.order(right));
        let (columns, sources): (Vec<Column>, Vec<Source>) = all.into_iter().unzip();
        let mut suites = rows::suites(&sources);
        let steps = steps::steps(&columns, &mut suites);
        Self {
            schema: SCHEMA,
            columns,
            suites,
            steps,
            left_out,
        }
    }

    /// All rows.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.suites.iter().flat_map(|suite| &suite.rows)
    }
}

impl Column {
    fn of(source: &Source) -> Self {
        let (name, link) = (source.name.clone(), source.link.clone());
        match &source.evidence {
            Evidence::Ran(record) => {
                let part = |role: &str| {
                    let found = record.components.iter().find(|it| it.role == role);
                    found.map(|component| Part::parse(&component.version))
                };
                let place = place_of(&record.stack);
                // A target file names the system behind it.
                let named = || (place == StackKind::Url).then(|| Part::named(&record.stack));
                Self {
                    name,
                    place: place.name(),
                    gateway: part("gateway").or_else(named),
                    picker: part("epp"),
                    model_server: part("model-server"),
                    flaw: record.flaw.clone(),
                    started: Some(record.started),
                    state: if record.interrupted {
                        State::Interrupted
                    } else {
                        State::Ran
                    },
                    conclusion: record.conclusion().to_string(),
                    link,
                    totals: LEVELS.map(|level| total(record, level)).into(),
                }
            }
            Evidence::NotStarted(failed) => {
                let part = |text: &Option<String>| {
                    let text = text.as_ref()?.replacen('@', " ", 1);
                    Some(Part::parse(&text))
                };
                Self {
                    name,
                    place: place_of(&failed.place).name(),
                    gateway: part(&failed.gateway),
                    picker: part(&failed.epp),
                    model_server: part(&failed.model_server),
                    flaw: None,
                    started: None,
                    state: State::DidNotStart,
                    conclusion: format!("did not start: {}", failed.reason),
                    link,
                    totals: Vec::new(),
                }
            }
        }
    }

    /// Gateway, picker and model servers by name, then the place, then versions.
    fn order(&self, other: &Self) -> Ordering {
        let by_versions = || {
            let pairs = self.versions().into_iter().zip(other.versions());
            pairs
                .map(|(left, right)| by_number(left, right))
                .find(|order| order.is_ne())
                .unwrap_or(Ordering::Equal)
        };
        self.names()
            .cmp(&other.names())
            .then_with(by_versions)
            .then_with(|| self.flaw.cmp(&other.flaw))
            .then_with(|| self.name.cmp(&other.name))
    }

    /// The version of each part, without the `v` that images have and programs leave out.
    fn versions(&self) -> [&str; 3] {
        self.parts().map(|(_, part)| {
            let version = part.and_then(|part| part.version.as_deref());
            version.unwrap_or_default().trim_start_matches('v')
        })
    }

    /// What two columns share if they differ only in versions.
    fn names(&self) -> ([&str; 3], &str) {
        let names = self
            .parts()
            .map(|(_, part)| part.map_or("", |part| &part.name));
        (names, self.place)
    }

    /// The parts with their roles.
    pub fn parts(&self) -> [(&'static str, Option<&Part>); 3] {
        [
            ("gateway", self.gateway.as_ref()),
            ("picker", self.picker.as_ref()),
            ("model server", self.model_server.as_ref()),
        ]
    }

    /// Place and parts in one line.
    pub fn describe(&self) -> String {
        let mut words = vec![self.place.to_owned()];
        for (role, part) in self.parts() {
            words.push(match part {
                Some(part) => format!("{role} {part}"),
                None => format!("{role} not recorded"),
            });
        }
        words.join(", ")
    }
}

impl Total {
    /// The numbers in words.
    pub fn in_words(&self) -> String {
        let words: Vec<String> = self
            .counts
            .iter()
            .map(|(judged, count)| format!("{count} {}", word(Some(*judged))))
            .collect();
        words.join(", ")
    }
}

/// The place that the name of a stack starts with. Any other name comes from a target file.
fn place_of(stack: &str) -> StackKind {
    let place = stack.split(" (").next().unwrap_or(stack);
    place.parse().unwrap_or(StackKind::Url)
}

fn total(record: &Record, level: Level) -> Total {
    let count = |judged: Judged| {
        let cases = record.cases.iter();
        let with = cases.filter(|case| case.level == level && case.judged() == judged);
        (judged, with.count())
    };
    let counts = Judged::ALL.map(count).into_iter();
    Total {
        level,
        counts: counts.filter(|(_, count)| *count > 0).collect(),
    }
}

/// The text of a cell.
pub(crate) fn word(judged: Option<Judged>) -> &'static str {
    match judged {
        Some(Judged::Pass) => "pass",
        Some(Judged::Fail) => "FAIL",
        Some(Judged::KnownFailure) => "known",
        Some(Judged::UnexpectedPass) => "PASSES",
        Some(Judged::Inconclusive) => "undecided",
        Some(Judged::Invalid) => "invalid",
        Some(Judged::Skip) => "skip",
        Some(Judged::Error) => "error",
        None => "",
    }
}

/// The sign before the text of a cell, for a quick look.
pub(crate) fn sign(judged: Option<Judged>) -> &'static str {
    match judged {
        Some(Judged::Pass) => "✓",
        Some(Judged::Fail) => "✗",
        Some(Judged::KnownFailure) => "⊘",
        Some(Judged::UnexpectedPass) => "‼",
        Some(Judged::Inconclusive) => "?",
        Some(Judged::Invalid) => "≈",
        Some(Judged::Skip) => "–",
        Some(Judged::Error) => "!",
        None => "",
    }
}

/// What the signs mean.
pub(crate) const LEGEND: [(Judged, &str); 8] = [
    (Judged::Pass, "the requirement holds"),
    (Judged::Fail, "it does not hold"),
    (
        Judged::KnownFailure,
        "it does not hold, as a file of expected failures lists",
    ),
    (
        Judged::UnexpectedPass,
        "it holds, although it is listed as an expected failure",
    ),
    (
        Judged::Inconclusive,
        "the sample that time allowed could not decide",
    ),
    (Judged::Invalid, "the measurement cannot be trusted"),
    (
        Judged::Skip,
        "the stack lacks something that the case needs",
    ),
    (Judged::Error, "poolproof itself failed"),
];

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
