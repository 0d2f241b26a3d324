//! Canary: requests of one model are split over its pools as the weights say.

mod less_loaded;
mod live_shift;
mod split;
mod split_keep_alive;
mod split_new_connections;
mod weight_zero;
mod windows;

use poolproof_harness::case::Suite;

/// The suite.
pub const SUITE: Suite = Suite {
    id: "canary",
    promise: "a 90/10 canary splits 90/10",
    cases: &[
        split_keep_alive::CASE,
        split_new_connections::CASE,
        windows::CASE,
        less_loaded::CASE,
        weight_zero::CASE,
        live_shift::CASE,
    ],
};
