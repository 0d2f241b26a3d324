//! What a target file lacks for the cases that it skips.

use std::collections::BTreeMap;

use crate::case::Case;
use crate::need::SERVED_BY;
use poolproof_model::target::Target;

/// Fields of a target file, and how many cases they would let run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The fields that the target lacks, all of which these cases need.
    pub fields: Vec<&'static str>,
    /// The number of cases.
    pub cases: usize,
}

/// The skipped cases, grouped by the fields that they need: the fewest fields first, then the most cases.
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
    let groups = groups.into_iter();
    let mut wanted: Vec<Wanted> = groups
        .map(|(fields, cases)| Wanted { fields, cases })
        .collect();
    wanted.sort_by_key(|wanted| (wanted.fields.len(), std::cmp::Reverse(wanted.cases)));
    wanted
}

/// The groups in words, a line for each; `None` if no case lacks a field.
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
            "{all} cases were left out, because the target does not describe what they need. In a target file, which `poolproof init` writes:{}",
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
    fn skipped_cases_are_grouped_by_the_fields_that_the_target_lacks() {
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
        // Adapters, the names of endpoints, and twice names with urls.
        assert_eq!(counts, [(1, 1), (1, 1), (2, 2)], "{found:?}");
        let text = in_words(&found).unwrap();
        assert!(
            text.starts_with("4 cases") && text.contains("to run 2 more cases"),
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
