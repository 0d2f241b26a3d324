//! Selects cases by the selectors of the user.

use anyhow::{Result, bail, ensure};

use crate::case::{Case, Suite};

/// The cases that match the selectors, in the order of the suites. A selector is a suite, a case id, or a prefix of ids
/// followed by `*`. A slow case is selected by its id, and with `slow` in every other way.
pub fn select(
    suites: &'static [Suite],
    selectors: &[String],
    slow: bool,
) -> Result<Vec<&'static Case>> {
    let all = || suites.iter().flat_map(|suite| suite.cases);
    for selector in selectors {
        if !all().any(|case| matches(selector, case.id)) {
            let ids: Vec<&str> = suites.iter().map(|suite| suite.id).collect();
            bail!(
                "selector {selector:?} matches no case; suites: {}; see `poolproof list` for cases",
                ids.join(", ")
            );
        }
    }
    let is_selected = |case: &&Case| {
        let mut selectors = selectors.iter();
        if case.is_slow() && !slow {
            selectors.any(|selector| selector == case.id)
        } else {
            selectors.len() == 0 || selectors.any(|selector| matches(selector, case.id))
        }
    };
    let selected: Vec<&Case> = all().filter(is_selected).collect();
    ensure!(
        !selected.is_empty() || selectors.is_empty(),
        "{} selects slow cases only: add --slow, or name a case by its full id",
        selectors.join(" ")
    );
    Ok(selected)
}

/// Whether a selector matches a case.
pub(crate) fn matches(selector: &str, id: &str) -> bool {
    let rest = id.strip_prefix(selector.trim_end_matches(['*', '/']));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || selector.ends_with('*'))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::need::Need;

    static SUITES: &[Suite] = &[Suite {
        id: "a",
        promise: "p",
        cases: &[
            Case::plain("a/passes"),
            Case::plain("a/other"),
            Case::plain("a/passes-too"),
            Case {
                needs: &[Need::time()],
                ..Case::plain("a/slow-one")
            },
        ],
        catches: &[],
    }];

    #[test]
    fn selectors_match_suites_cases_and_prefixes() {
        let ids = |selector: &str| -> Vec<&str> {
            let selected = select(SUITES, &[selector.to_owned()], false).unwrap();
            selected.iter().map(|case| case.id).collect()
        };
        assert_eq!(ids("a").len(), 3);
        assert_eq!(ids("a/"), ids("a"));
        assert_eq!(ids("a/passes"), ["a/passes"]);
        assert_eq!(ids("a/passes*"), ["a/passes", "a/passes-too"]);
        let message = select(SUITES, &["b".to_owned()], false)
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("\"b\"") && message.contains("poolproof list"),
            "{message}"
        );
    }

    #[test]
    fn a_slow_case_is_selected_by_its_id_or_on_demand() {
        let ids = |selectors: &[&str], slow| -> Vec<&str> {
            let selectors: Vec<String> = selectors.iter().map(|&one| one.to_owned()).collect();
            let selected = select(SUITES, &selectors, slow).unwrap();
            selected.iter().map(|case| case.id).collect()
        };
        assert_eq!((ids(&[], false).len(), ids(&[], true).len()), (3, 4));
        assert_eq!(ids(&["a"], true).len(), 4);
        assert_eq!(ids(&["a/slow-one"], false), ["a/slow-one"]);
        let message = select(SUITES, &["a/slow*".to_owned()], false).unwrap_err();
        assert!(message.to_string().contains("--slow"), "{message}");
    }
}
