//! The cases of poolproof, by suite. The id of a case is the path of its file.

mod canary;
mod catches;
mod distribution;
mod faults;
mod loaded;
#[cfg(test)]
mod made;
mod priority;
mod routing;
mod sample;
mod streams;

use poolproof_harness::case::Suite;
use poolproof_harness::cli::App;

pub use catches::CATCHES;

/// All suites, in the order in which they run.
pub const SUITES: &[Suite] = &[
    routing::SUITE,
    canary::SUITE,
    distribution::SUITE,
    priority::SUITE,
    faults::SUITE,
];

/// What the command line is about.
pub const APP: App = App {
    suites: SUITES,
    catches: CATCHES,
};

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use poolproof_harness::case::Level;
    use poolproof_harness::context::Settings;
    use poolproof_harness::run::missing;
    use poolproof_harness::target::Target;
    use poolproof_harness::topology::Topology;

    use super::SUITES;

    #[test]
    fn the_cases_together_spend_no_more_alpha_than_the_run_has() {
        let target = Target::planned(&Topology::default()).unwrap();
        let settings = Settings::default();
        let musts = SUITES.iter().flat_map(|suite| suite.cases);
        let musts = musts.filter(|case| case.level == Level::Must);
        let mut spent = 0.0;
        for case in musts.filter(|case| missing(case, &target).is_none()) {
            spent += (case.plan)(&target, &settings).unwrap().alpha();
        }
        assert!(spent > 0.0 && spent <= settings.run_alpha, "{spent}");
    }
}
