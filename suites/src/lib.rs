//! The cases of poolproof, by suite: what a gateway with InferencePools promises, one file per requirement.
//!
//! The id of a case is the path of its file: `routing/known-model` is in `src/routing/known_model.rs`. A suite is a folder; its `mod.rs` lists
//! its cases, and the flaws that they must catch. Every case has a counter-proof: a flaw that it fails on, and a correct stack that it passes on.
//!
//! Cases see sockets only, through their context. They must not know how a stack was started, which parts it has, or how reports look, so a
//! verdict means the same on every stack.
//!
//! Start with `routing/mod.rs` and one of its cases. The framework is in `poolproof_cases`, the command line in `poolproof_cli`.
//!
//! ```
//! use poolproof::SUITES;
//! use poolproof_cases::select::select;
//!
//! # fn main() -> anyhow::Result<()> {
//! for case in select(SUITES, &["canary".to_owned()], false)? {
//!     println!("{} ({}): {}", case.id, case.source, case.requirement);
//! }
//! assert!(select(SUITES, &["no-such-suite".to_owned()], true).is_err());
//! # Ok(())
//! # }
//! ```

mod affinity;
mod canary;
mod cancel;
mod coverage;
mod distribution;
mod errors;
mod faults;
mod loaded;
#[cfg(test)]
mod made;
mod mix;
mod none;
mod priority;
mod protocol;
mod rollout;
mod routing;
mod sample;
mod status;
mod streams;
mod times;
mod ways;

use poolproof_cases::case::Suite;
use poolproof_cli::App;

/// All suites, in the order in which they run.
pub const SUITES: &[Suite] = &[
    routing::SUITE,
    protocol::SUITE,
    canary::SUITE,
    distribution::SUITE,
    affinity::SUITE,
    priority::SUITE,
    errors::SUITE,
    cancel::SUITE,
    faults::SUITE,
    rollout::SUITE,
    status::SUITE,
];

/// What the command line is about.
pub const APP: App = App {
    suites: SUITES,
    coverage: coverage::COVERAGE,
};

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use poolproof_cases::budget::Budget;
    use poolproof_cases::case::{Level, catches};
    use poolproof_cases::context::Settings;
    use poolproof_cases::effort::Decision;
    use poolproof_cases::run::missing;
    use poolproof_model::target::Target;
    use poolproof_model::topology::Topology;

    use super::SUITES;

    /// A target that has what every case needs.
    fn target() -> Target {
        let mut topology = Topology::default();
        topology.models[0].adapters = vec!["adapter".to_owned()];
        topology.models[1].request_timeout_ms = Some(2000);
        topology.models[0].pools[0].max_in_flight = Some(8);
        Target::planned(&topology).unwrap()
    }

    /// The ids that the files with a case have by their paths.
    fn ids_by_path() -> BTreeSet<String> {
        let mut ids = BTreeSet::new();
        let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        for folder in std::fs::read_dir(src).unwrap().map(|it| it.unwrap().path()) {
            let Ok(files) = std::fs::read_dir(&folder) else {
                continue;
            };
            let suite = folder.file_name().unwrap().to_str().unwrap();
            // A folder inside a suite holds what its cases share.
            let files = files.map(|it| it.unwrap().path());
            for file in files.filter(|path| path.is_file()) {
                let text = std::fs::read_to_string(&file).unwrap();
                if text.contains("const CASE: Case") {
                    let name = file.file_stem().unwrap().to_str().unwrap();
                    ids.insert(format!("{suite}/{}", name.replace('_', "-")));
                }
            }
        }
        ids
    }

    #[test]
    fn every_file_with_a_case_is_in_its_suite_and_its_path_is_the_id() {
        let cases = SUITES.iter().flat_map(|suite| suite.cases);
        let ids: Vec<String> = cases.map(|case| case.id.to_owned()).collect();
        let once: BTreeSet<String> = ids.iter().cloned().collect();
        assert_eq!(ids.len(), once.len(), "an id is listed twice: {ids:?}");
        assert_eq!(once, ids_by_path());
    }

    #[test]
    fn a_catch_is_a_row_of_the_suite_of_the_first_case_that_must_fail() {
        assert!(catches(SUITES).count() > 0);
        for suite in SUITES {
            for catch in suite.catches {
                let first = catch.must_fail.first().unwrap();
                let home = first.split('/').next();
                assert_eq!(home, Some(suite.id), "row {}", catch.flaw);
            }
        }
    }

    #[test]
    fn the_must_cases_together_take_no_more_alpha_than_the_run_has() {
        let target = target();
        for run_alpha in [0.001, 0.05] {
            let settings = Settings {
                run_alpha,
                ..Settings::default()
            };
            let budget = Budget::new(SUITES, settings);
            let (mut shares, mut taken) = (0.0, 0.0);
            for case in SUITES.iter().flat_map(|suite| suite.cases) {
                assert_eq!(missing(case, &target), None, "{}", case.id);
                let rates = budget.rates(case);
                // Fails if a case takes more than its share.
                let effort = case.effort(&target, &rates).unwrap();
                if case.level == Level::Must {
                    // A slow case has no part in the division, and takes nothing.
                    shares += if case.is_slow() { 0.0 } else { rates.alpha };
                    taken += effort.alpha();
                }
            }
            assert!(shares <= run_alpha * (1.0 + 1e-9), "{shares}");
            assert!(taken > run_alpha / 2.0 && taken <= shares, "{taken}");
        }
    }

    #[test]
    fn a_case_that_decides_by_a_sample_has_a_part_of_alpha() {
        let target = target();
        let budget = Budget::new(SUITES, Settings::default());
        for case in SUITES.iter().flat_map(|suite| suite.cases) {
            let rates = budget.rates(case);
            let effort = case.effort(&target, &rates).unwrap();
            let takes_none = effort.decisions.iter().all(never_by_chance);
            assert_eq!(case.alpha_parts == 0, takes_none, "{}", case.id);
            assert!(takes_none || !case.is_slow(), "{}", case.id);
        }
    }

    /// Whether a correct stack cannot fail a decision: it never does what is counted.
    fn never_by_chance(decision: &Decision) -> bool {
        matches!(decision, Decision::Fixed(plan) if plan.question.null() == 0.0)
    }
}
