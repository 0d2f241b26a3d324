//! What changes from one version of a part to the next.

use super::part::Part;
use super::{Change, Column, State, Step, Suite};

/// Compares neighbours that differ only in versions, and marks the cells that changed.
pub(super) fn steps(columns: &[Column], suites: &mut [Suite]) -> Vec<Step> {
    let mut steps = Vec::new();
    for to in 1..columns.len() {
        let from = to - 1;
        let parts = parts(&columns[from], &columns[to]);
        if !parts.is_empty() {
            steps.push(step(from, to, parts, suites));
        }
    }
    steps
}

/// The parts with another version, if the stacks differ in nothing else.
fn parts(from: &Column, to: &Column) -> Vec<(&'static str, Part, Part)> {
    let both_ran = from.state != State::DidNotStart && to.state != State::DidNotStart;
    if !both_ran || from.names() != to.names() || from.flaw != to.flaw {
        return Vec::new();
    }
    let pairs = from.parts().into_iter().zip(to.parts());
    pairs
        .filter_map(|((role, before), (_, after))| {
            let (before, after) = (before?, after?);
            // Without the `v`, which images have and programs leave out.
            let number =
                |part: &Part| Some(part.version.as_ref()?.trim_start_matches('v').to_owned());
            let (old, new) = (number(before)?, number(after)?);
            (old != new).then(|| (role, before.clone(), after.clone()))
        })
        .collect()
}

fn step(
    from: usize,
    to: usize,
    parts: Vec<(&'static str, Part, Part)>,
    suites: &mut [Suite],
) -> Step {
    let mut changes = Vec::new();
    let mut only_one = 0;
    for row in suites.iter_mut().flat_map(|suite| &mut suite.rows) {
        let before = row.cells[from].as_ref().map(|cell| cell.judged);
        match (before, &mut row.cells[to]) {
            (Some(before), Some(after)) if before != after.judged => {
                after.changed = true;
                changes.push(Change {
                    case: row.id.clone(),
                    level: row.level,
                    from: before,
                    to: after.judged,
                });
            }
            (Some(_), None) | (None, Some(_)) => only_one += 1,
            _ => {}
        }
    }
    Step {
        from,
        to,
        parts,
        changes,
        only_one,
    }
}

impl Step {
    /// The parts with another version, in words.
    pub fn title(&self) -> String {
        let words = self.parts.iter().map(|(role, before, after)| {
            let version = |part: &Part| part.version.clone().unwrap_or_default();
            format!(
                "{role} {}: {} → {}",
                before.name,
                version(before),
                version(after)
            )
        });
        words.collect::<Vec<_>>().join("; ")
    }

    /// What changed, in one line.
    pub fn summary(&self) -> String {
        let mut text = match self.changes.len() {
            0 => "no verdict changed".to_owned(),
            1 => "1 verdict changed".to_owned(),
            more => format!("{more} verdicts changed"),
        };
        if self.only_one > 0 {
            text += &format!("; cases in only one of the two records: {}", self.only_one);
        }
        text
    }
}
