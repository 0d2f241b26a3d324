//! Changed verdicts.

use serde::Serialize;

use poolproof_model::target::Target;
use poolproof_model::verdict::Level;
use poolproof_records::judged::Judged;
use poolproof_records::run::{CaseRecord, Record};

/// A case whose verdict has changed, that only one of the runs contains, or that passes although it is listed as an expected
/// failure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct VerdictChange {
    /// The case.
    pub id: String,
    /// Its level.
    pub level: Level,
    /// The earlier verdict; `None` if it did not run.
    pub before: Option<Judged>,
    /// The current verdict; `None` if it did not run.
    pub now: Option<Judged>,
    /// True if less is shown than before, or the opposite, and that was not expected; also for an unexpected pass.
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
    let (was, is) = (before.map(CaseRecord::judged), now.map(CaseRecord::judged));
    let outdated = is == Some(Judged::UnexpectedPass);
    let expected = is == Some(Judged::KnownFailure);
    (was != is || outdated).then(|| VerdictChange {
        id: case.id.clone(),
        level: case.level,
        before: was,
        now: is,
        worse: outdated || (!expected && rank(is) > rank(was)),
        summary: case.summary(),
    })
}

/// Ranks a judgement: shown to hold, not shown, known not to hold, shown not to hold.
fn rank(judged: Option<Judged>) -> u8 {
    match judged {
        Some(Judged::Pass | Judged::UnexpectedPass) => 0,
        Some(Judged::KnownFailure) => 2,
        Some(Judged::Fail) => 3,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use poolproof_model::verdict::Outcome;
    use poolproof_records::samples::{fail, known, record};

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

    #[test]
    fn a_failure_that_became_known_is_not_worse_and_an_unexpected_pass_always_is() {
        let (pass, fail) = (
            || (Level::Must, Outcome::pass("")),
            || (Level::Must, fail()),
        );
        let mut before = record(&[pass(), fail(), pass(), fail(), fail()]);
        before.cases[2].known = Some(known());
        before.cases[4].known = Some(known());
        let mut now = record(&[fail(), fail(), pass(), pass(), fail()]);
        for case in &mut now.cases[..4] {
            case.known = Some(known());
        }
        let found = changes(&before, &now);
        let mut changes: Vec<_> = found
            .iter()
            .map(|change| (change.id.as_str(), change.now, change.worse))
            .collect();
        changes.sort_by_key(|(id, ..)| *id);
        assert_eq!(
            changes,
            [
                // It passed before, and it is listed as an expected failure.
                ("suite/case-0", Some(Judged::KnownFailure), false),
                ("suite/case-1", Some(Judged::KnownFailure), false),
                ("suite/case-2", Some(Judged::UnexpectedPass), true),
                ("suite/case-3", Some(Judged::UnexpectedPass), true),
                // Its entry was removed, and it still fails.
                ("suite/case-4", Some(Judged::Fail), true),
            ]
        );
    }
}
