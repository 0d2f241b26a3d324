//! The cases of poolproof, by suite. The id of a case is the path of its file.

mod canary;
mod catches;
mod distribution;
mod loaded;
mod priority;
mod routing;

use poolproof_harness::case::Suite;
use poolproof_harness::cli::App;

pub use catches::CATCHES;

/// All suites, in the order in which they run.
pub const SUITES: &[Suite] = &[
    routing::SUITE,
    canary::SUITE,
    distribution::SUITE,
    priority::SUITE,
];

/// What the command line is about.
pub const APP: App = App {
    suites: SUITES,
    catches: CATCHES,
};
