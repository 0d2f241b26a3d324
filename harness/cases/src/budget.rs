//! The budget of a run: divides its alpha over the cases.
//!
//! Each case gets a fixed share. The share depends on the list of all cases, never on the selection of a run or the
//! features of a target. The conclusion of a case is therefore independent of other cases. The shares of all Must cases
//! sum to the run's alpha, which bounds the chance that a run fails a correct stack (Bonferroni's inequality).
//!
//! Slow cases are not divided over: they judge each answer and decide nothing by chance, so that the shares are the same in
//! runs with and without them.

use std::time::Duration;

use crate::case::{Case, Level, Suite};
use crate::context::Settings;

/// The share of the run's alpha of a Must case without parts. Such a case judges each answer, or counts events that
/// never occur on a correct stack. Its true chance of a false alarm is 0; this is only the bound that a plan needs.
const SHARE_WITHOUT_PARTS: f64 = 1e-6;

/// The error rates of one case, and what else of the settings its plan depends on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// The chance that all statistical decisions of the case together fail a correct stack.
    pub alpha: f64,
    /// The chance that each of them catches the smallest deviation that matters.
    pub power: f64,
    /// The smallest deviation of a split that must be caught, as a share (0.03 is three points).
    pub split_tolerance: f64,
    /// The length of the silence that answers of slow cases contain.
    pub slow_answer: Duration,
}

/// The division of a run's alpha over the cases of all suites.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    settings: Settings,
    /// The alpha of one part.
    part: f64,
}

impl Budget {
    /// Divides the alpha of the settings over the Must cases of all suites. Cases of other levels do not affect the
    /// conclusion of a run: they get the same alpha per part, without being counted.
    pub fn new(suites: &[Suite], settings: Settings) -> Self {
        let musts = suites.iter().flat_map(|suite| suite.cases);
        let musts = musts.filter(|case| case.level == Level::Must && !case.is_slow());
        let parts: Vec<u32> = musts.map(|case| case.alpha_parts).collect();
        let without = parts.iter().filter(|parts| **parts == 0).count();
        let total: u32 = parts.iter().sum();
        let left = 1.0 - SHARE_WITHOUT_PARTS * without as f64;
        Self {
            settings,
            part: settings.run_alpha * left / f64::from(total.max(1)),
        }
    }

    /// The user settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The error rates of a case.
    pub fn rates(&self, case: &Case) -> Rates {
        let alpha = if case.alpha_parts == 0 {
            self.settings.run_alpha * SHARE_WITHOUT_PARTS
        } else {
            self.part * f64::from(case.alpha_parts)
        };
        Rates {
            alpha,
            power: self.settings.power,
            split_tolerance: self.settings.split_tolerance,
            slow_answer: Duration::from_secs(self.settings.slow_answer_s),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn case(id: &'static str, level: Level, alpha_parts: u32) -> Case {
        Case {
            level,
            alpha_parts,
            ..Case::plain(id)
        }
    }

    const fn suite(cases: &'static [Case]) -> Suite {
        Suite {
            id: "a",
            promise: "p",
            cases,
            catches: &[],
        }
    }

    static CASES: [Case; 4] = [
        case("a/one", Level::Must, 1),
        case("a/two", Level::Must, 2),
        case("a/each-answer", Level::Must, 0),
        case("a/should", Level::Should, 1),
    ];

    fn alpha(budget: &Budget, case: &Case) -> f64 {
        budget.rates(case).alpha
    }

    #[test]
    fn the_shares_of_all_must_cases_sum_to_the_alpha_of_the_run() {
        let settings = Settings::default();
        let budget = Budget::new(&[suite(&CASES)], settings);
        let musts = CASES.iter().filter(|case| case.level == Level::Must);
        let sum: f64 = musts.map(|case| alpha(&budget, case)).sum();
        assert!((sum / settings.run_alpha - 1.0).abs() < 1e-12, "{sum}");
        let [one, two, ..] = &CASES;
        assert!((alpha(&budget, two) / alpha(&budget, one) - 2.0).abs() < 1e-12);
    }

    #[test]
    fn an_added_must_case_reduces_the_other_shares_and_an_added_should_case_does_not() {
        static MORE: [Case; 2] = [
            case("b/one", Level::Must, 1),
            case("b/should", Level::Should, 5),
        ];
        let settings = Settings::default();
        let of_one = |more| {
            let budget = Budget::new(&[suite(&CASES), suite(more)], settings);
            alpha(&budget, &CASES[0])
        };
        let alone = of_one(&[]);
        assert!(of_one(&MORE[..1]) < alone);
        assert!((of_one(&MORE[1..]) / alone - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_slow_case_leaves_the_other_shares_as_they_are() {
        static SLOW: [Case; 1] = [Case {
            needs: &[crate::need::Need::time()],
            ..Case::plain("b/slow")
        }];
        let of_two = |suites: &[Suite]| {
            let budget = Budget::new(suites, Settings::default());
            alpha(&budget, &CASES[1])
        };
        let without = of_two(&[suite(&CASES)]);
        assert_eq!(of_two(&[suite(&CASES), suite(&SLOW)]), without);
    }

    #[test]
    fn a_list_without_parts_does_not_divide_by_zero() {
        let budget = Budget::new(&[suite(&CASES[2..3])], Settings::default());
        assert!(alpha(&budget, &CASES[2]) > 0.0);
    }
}
