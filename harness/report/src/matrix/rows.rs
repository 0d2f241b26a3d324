//! The rows of the matrix: the union of the cases of all records.

use super::{Cell, Evidence, Row, Source, Suite};
use crate::{detail_lines, needs_details};
use poolproof_records::judged::Judged;
use poolproof_records::run::{CaseRecord, Record};

/// The cases of all records by suite, in the order of the newest record; cases of older ones come after them.
pub(super) fn suites(sources: &[Source]) -> Vec<Suite> {
    let records: Vec<Option<&Record>> = sources
        .iter()
        .map(|source| match &source.evidence {
            Evidence::Ran(record) => Some(record.as_ref()),
            Evidence::NotStarted(_) => None,
        })
        .collect();
    let mut newest: Vec<&Record> = records.iter().copied().flatten().collect();
    newest.sort_by_key(|record| std::cmp::Reverse(record.started));
    let mut suites: Vec<Suite> = Vec::new();
    for case in newest.iter().flat_map(|record| &record.cases) {
        let id = case.suite();
        let at = suites.iter().position(|suite| suite.id == id);
        let at = at.unwrap_or_else(|| {
            suites.push(Suite {
                id: id.to_owned(),
                rows: Vec::new(),
            });
            suites.len() - 1
        });
        let rows = &mut suites[at].rows;
        if rows.iter().all(|row| row.id != case.id) {
            rows.push(row(case, &records));
        }
    }
    suites
}

fn row(newest: &CaseRecord, records: &[Option<&Record>]) -> Row {
    let cells: Vec<Option<Cell>> = records
        .iter()
        .map(|record| {
            let mut cases = record.as_ref()?.cases.iter();
            cases.find(|case| case.id == newest.id).map(cell)
        })
        .collect();
    let some = |wanted: bool| {
        let mut cells = cells.iter().flatten();
        cells.any(|cell| holds(cell.judged) == Some(wanted))
    };
    Row {
        id: newest.id.clone(),
        level: newest.level,
        requirement: newest.requirement.clone(),
        source: newest.source.clone(),
        differs: some(true) && some(false),
        cells,
    }
}

fn cell(case: &CaseRecord) -> Cell {
    Cell {
        judged: case.judged(),
        changed: false,
        summary: case.summary(),
        details: if needs_details(case) {
            detail_lines(case)
        } else {
            Vec::new()
        },
    }
}

/// Whether the requirement holds. `None`: not decided.
pub(super) fn holds(judged: Judged) -> Option<bool> {
    match judged {
        Judged::Pass | Judged::UnexpectedPass => Some(true),
        Judged::Fail | Judged::KnownFailure => Some(false),
        Judged::Inconclusive | Judged::Invalid | Judged::Skip | Judged::Error => None,
    }
}
