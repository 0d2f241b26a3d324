//! What a target file lacks for the cases that it skips.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::case::Case;
use crate::need::SERVED_BY;
use poolproof_model::target::Target;

/// Fields of a target file, and how many more cases they would let run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The fields that the target lacks, beside those of the steps before.
    pub fields: Vec<&'static str>,
    /// The number of cases that they would let run, together with the fields of the steps before.
    pub cases: usize,
}

/// What to add to a target, step by step, for the skipped cases: in each step the fields with the most cases for each field.
pub fn wanted(cases: &[&Case], target: &Target) -> Vec<Wanted> {
    let mut groups: BTreeMap<Vec<&'static str>, usize> = BTreeMap::new();
    for case in cases {
        let unmet = case.needs.iter().filter(|need| !need.is_met(target));
        let mut fields: Vec<&str> = Vec::new();
        for field in unmet.flat_map(|need| need.fields()) {
            let is_there = *field == SERVED_BY && target.served_by_header.is_some();
            if !is_there && !fields.contains(field) {
                fields.push(field);
            }
        }
        if !fields.is_empty() {
            *groups.entry(fields).or_default() += 1;
        }
    }
    let mut steps = Vec::new();
    let mut known: BTreeSet<&str> = BTreeSet::new();
    while let Some(step) = best_step(&groups, &known) {
        known.extend(&step.fields);
        groups.retain(|fields, _| fields.iter().any(|field| !known.contains(field)));
        steps.push(step);
    }
    steps
}

/// The fields of a group, without the known ones, that have the most cases for each field. `None` without a group.
fn best_step(
    groups: &BTreeMap<Vec<&'static str>, usize>,
    known: &BTreeSet<&str>,
) -> Option<Wanted> {
    let steps = groups.keys().map(|group| {
        let new = group.iter().filter(|field| !known.contains(*field));
        let fields: Vec<&str> = new.copied().collect();
        let runs = |other: &&Vec<&'static str>| {
            let mut needed = other.iter();
            needed.all(|field| known.contains(field) || fields.contains(field))
        };
        let cases = groups.keys().filter(runs).map(|group| groups[group]).sum();
        Wanted { fields, cases }
    });
    // The first of several equal ones.
    steps.min_by(|a, b| {
        // Cases for each field, without division.
        let (left, right) = (a.cases * b.fields.len(), b.cases * a.fields.len());
        let of = |step: &Wanted| Reverse(step.cases);
        right.cmp(&left).then(of(a).cmp(&of(b)))
    })
}

/// The steps in words, a line for each; `None` if no case lacks a field.
pub fn in_words(wanted: &[Wanted]) -> Option<String> {
    let all: usize = wanted.iter().map(|wanted| wanted.cases).sum();
    let lines = wanted.iter().map(|wanted| {
        let more = if wanted.cases == 1 { "case" } else { "cases" };
        format!(
            "\n  add {} to run {} more {more}",
            wanted.fields.join("; "),
            wanted.cases
        )
    });
    (all > 0).then(|| {
        format!(
            "{all} cases were left out, because the target does not describe what they need. In a target file, which `poolproof init` writes, each line together with those above it:{}",
            lines.collect::<String>()
        )
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::need::{Adapters, EndpointNames, Find, PoolToLoad, TwoModels};
    use poolproof_model::topology::Topology;

    #[test]
    fn fields_that_the_target_lacks_are_named_in_steps_that_let_the_most_cases_run() {
        let case = |needs| Case {
            needs,
            ..Case::plain("a/b")
        };
        let cases = [
            case(&[]),
            case(&[EndpointNames::NEED]),
            case(&[EndpointNames::NEED, PoolToLoad::NEED]),
            case(&[PoolToLoad::NEED]),
            case(&[Adapters::NEED]),
            case(&[TwoModels::NEED]),
        ];
        let cases: Vec<&Case> = cases.iter().collect();
        let mut target = Target::planned(&Topology::default()).unwrap();
        let found = wanted(&cases, &target);
        assert_eq!(found.len(), 1, "{found:?}");
        for pool in target.models.iter_mut().flat_map(|model| &mut model.pools) {
            pool.endpoints.clear();
        }
        let found = wanted(&cases, &target);
        let counts: Vec<(usize, usize)> =
            found.iter().map(|it| (it.fields.len(), it.cases)).collect();
        // Names and urls of endpoints, then adapters.
        assert_eq!(counts, [(2, 3), (1, 1)], "{found:?}");
        let text = in_words(&found).unwrap();
        assert!(
            text.starts_with("4 cases") && text.contains("to run 3 more cases"),
            "{text}"
        );
        assert!(!text.contains("served_by_header"), "{text}");
        target.served_by_header = None;
        assert!(
            in_words(&wanted(&cases, &target))
                .unwrap()
                .contains("served_by_header")
        );
        assert_eq!(in_words(&[]), None);
    }
}
