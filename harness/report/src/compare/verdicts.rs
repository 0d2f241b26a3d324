//! Changed verdicts.

use serde::Serialize;

use poolproof_model::target::Target;
use poolproof_model::verdict::Level;
use poolproof_model::verdict::Verdict;
use poolproof_records::run::{CaseRecord, Record};

/// A case whose verdict has changed, or that only one of the runs contains.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct VerdictChange {
    /// The case.
    pub id: String,
    /// Its level.
    pub level: Level,
    /// The earlier verdict; `None` if it did not run.
    pub before: Option<Verdict>,
    /// The current verdict; `None` if it did not run.
    pub now: Option<Verdict>,
    /// True if less is shown than before, or the opposite.
    pub worse: bool,
    /// The current finding, or the earlier one if it did not run now.
    pub summary: String,
}

/// The reason why the verdicts of two runs cannot be compared.
pub(super) fn incomparable(before: &Record, now: &Record) -> Option<String> {
    for (whose, record) in [("the baseline", before), ("the run", now)] {
        if record.interrupted {
            return Some(format!("{whose} was interrupted"));
        }
    }
    let same = shape(&before.target) == shape(&now.target);
    (!same).then(|| "the topologies differ".to_owned())
}

/// A target without addresses, which must be equal in both runs.
pub(super) fn shape(target: &Target) -> impl PartialEq + use<> {
    let models = target.models.iter().map(|model| {
        let pools = model.pools.iter().map(|pool| {
            let endpoints = pool.endpoints.len();
            (pool.name.clone(), pool.weight, pool.flow_control, endpoints)
        });
        (model.name.clone(), pools.collect::<Vec<_>>())
    });
    (models.collect::<Vec<_>>(), target.objectives.clone())
}

/// The changes: worse ones first, then by level.
pub(super) fn changes(before: &Record, now: &Record) -> Vec<VerdictChange> {
    let find = |record: &Record, id: &str| record.cases.iter().find(|case| case.id == id).cloned();
    let mut changes: Vec<VerdictChange> = now
        .cases
        .iter()
        .filter_map(|case| change(find(before, &case.id).as_ref(), Some(case)))
        .collect();
    let gone = before
        .cases
        .iter()
        .filter(|case| find(now, &case.id).is_none());
    changes.extend(gone.filter_map(|case| change(Some(case), None)));
    changes.sort_by_key(|change| (!change.worse, change.level as u8));
    changes
}

fn change(before: Option<&CaseRecord>, now: Option<&CaseRecord>) -> Option<VerdictChange> {
    let case = now.or(before)?;
    let verdict = |case: Option<&CaseRecord>| case.map(|case| case.outcome.verdict);
    let (was, is) = (verdict(before), verdict(now));
    (was != is).then(|| VerdictChange {
        id: case.id.clone(),
        level: case.level,
        before: was,
        now: is,
        worse: rank(is) > rank(was),
        summary: case.outcome.summary.clone(),
    })
}

/// Ranks a verdict: shown to hold, not shown, shown not to hold.
fn rank(verdict: Option<Verdict>) -> u8 {
    match verdict {
        Some(Verdict::Pass) => 0,
        Some(Verdict::Fail) => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use poolproof_model::verdict::Outcome;
    use poolproof_records::samples::record;

    fn fail() -> Outcome {
        Outcome {
            verdict: Verdict::Fail,
            ..Outcome::pass("x")
        }
    }

    #[test]
    fn worse_cases_come_first_and_a_missing_case_is_worse() {
        let pass = || Outcome::pass("");
        let before = record(&[
            (Level::Should, fail()),
            (Level::Should, pass()),
            (Level::Must, pass()),
            (Level::Must, pass()),
        ]);
        let mut now = record(&[
            (Level::Should, pass()),
            (Level::Should, fail()),
            (Level::Must, Outcome::skip("")),
        ]);
        now.cases[2].id = "suite/new".to_owned();
        let found = changes(&before, &now);
        let changes: Vec<_> = found
            .iter()
            .map(|change| (change.id.as_str(), change.worse))
            .collect();
        assert_eq!(
            changes,
            [
                ("suite/case-2", true),
                ("suite/case-3", true),
                ("suite/case-1", true),
                ("suite/new", false),
                ("suite/case-0", false),
            ]
        );
        assert!(incomparable(&before, &now).is_none());
        now.target.models[0].pools[0].weight = 7;
        assert!(incomparable(&before, &now).is_some());
    }
}
