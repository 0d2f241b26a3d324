//! The rules of the specifications that cases refer to: which case checks each, or why none does.
//!
//! `poolproof list --coverage` prints the table; `suites/coverage.md` is that print. A new case whose source is one of these documents
//! belongs into the row of its rule.

mod endpoint_picker;
mod http_route;
mod inference_pool;
mod openai;

use poolproof_model::coverage::Document;

/// The specifications, in the order in which a request meets them.
pub const COVERAGE: &[Document] = &[
    http_route::DOCUMENT,
    inference_pool::DOCUMENT,
    endpoint_picker::DOCUMENT,
    openai::DOCUMENT,
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::COVERAGE;
    use crate::SUITES;

    #[test]
    fn every_rule_names_cases_that_exist_or_says_why_it_has_none() {
        let cases = SUITES.iter().flat_map(|suite| suite.cases);
        let ids: BTreeSet<&str> = cases.map(|case| case.id).collect();
        let mut sentences = BTreeSet::new();
        for rule in COVERAGE.iter().flat_map(|document| document.rules) {
            assert!(
                sentences.insert((rule.place, rule.sentence)),
                "twice: {}",
                rule.sentence
            );
            assert!(
                !rule.cases.is_empty() || !rule.gap.is_empty(),
                "{}: add cases, or the reason why there are none",
                rule.sentence
            );
            for id in rule.cases {
                assert!(ids.contains(id), "{}: there is no case {id}", rule.sentence);
            }
        }
    }

    #[test]
    fn every_case_that_cites_a_document_checks_one_of_its_rules() {
        for document in COVERAGE {
            let rules = document.rules.iter();
            let checked: BTreeSet<&str> = rules.flat_map(|rule| rule.cases).copied().collect();
            for case in SUITES.iter().flat_map(|suite| suite.cases) {
                let cites = |name: &&str| case.source.contains(*name);
                assert!(
                    !document.cited_as.iter().any(cites) || checked.contains(case.id),
                    "{} cites {}: add it to the row of its rule in suites/src/coverage",
                    case.id,
                    document.name
                );
            }
        }
    }
}
