//! Selects cases by the selectors of the user.

use anyhow::{Result, bail};

use crate::case::{Case, Suite};

/// The cases that match the selectors, in the order of the suites. A selector is a suite, a case id, or a prefix of ids
/// followed by `*`.
pub fn select(suites: &'static [Suite], selectors: &[String]) -> Result<Vec<&'static Case>> {
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
    let selected = |case: &&Case| {
        selectors.is_empty() || selectors.iter().any(|selector| matches(selector, case.id))
    };
    Ok(all().filter(selected).collect())
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

    static SUITES: &[Suite] = &[Suite {
        id: "a",
        promise: "p",
        cases: &[
            Case::plain("a/passes"),
            Case::plain("a/other"),
            Case::plain("a/passes-too"),
        ],
        catches: &[],
    }];

    #[test]
    fn selectors_match_suites_cases_and_prefixes() {
        let ids = |selector: &str| -> Vec<&str> {
            let selected = select(SUITES, &[selector.to_owned()]).unwrap();
            selected.iter().map(|case| case.id).collect()
        };
        assert_eq!(ids("a").len(), 3);
        assert_eq!(ids("a/"), ids("a"));
        assert_eq!(ids("a/passes"), ["a/passes"]);
        assert_eq!(ids("a/passes*"), ["a/passes", "a/passes-too"]);
        let message = select(SUITES, &["b".to_owned()]).unwrap_err().to_string();
        assert!(
            message.contains("\"b\"") && message.contains("poolproof list"),
            "{message}"
        );
    }
}
