//! Distribution: requests go to the less-loaded endpoint.

mod busy;
mod each_in_turn;
mod follows_load;
mod idle;
mod kv_pressure;
mod metrics_gone;
mod one_busy;
mod two_busy;

use poolproof_harness::case::Suite;

/// The suite.
pub const SUITE: Suite = Suite {
    id: "distribution",
    promise: "requests go to the less-loaded endpoint",
    cases: &[
        idle::CASE,
        one_busy::CASE,
        two_busy::CASE,
        each_in_turn::CASE,
        kv_pressure::CASE,
        follows_load::CASE,
        metrics_gone::CASE,
    ],
};
