//! Canary: requests of one model are split over its pools as the weights say.

mod less_loaded;
mod live_shift;
mod rewrite;
mod split;
mod split_keep_alive;
mod split_new_connections;
mod weight_zero;
mod windows;

use poolproof_cases::case::{Catch, Suite};
use poolproof_fixtures::flaw::Flaw;

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
        rewrite::CASE,
    ],
    catches: CATCHES,
};

const SPLITS: &[&str] = &["canary/split-keep-alive", "canary/split-new-connections"];

const ALL_SPLITS: &[&str] = &[
    "canary/split-keep-alive",
    "canary/split-new-connections",
    "canary/windows",
];

/// The flaws that this suite must catch.
#[rustfmt::skip]
const CATCHES: &[Catch] = &[
    Catch::new(Flaw::Split8020, SPLITS, &["canary/windows", "canary/live-shift", "rollout/empty-weighted-pool"]),
    Catch::new(Flaw::Split8713, SPLITS, &["canary/windows", "canary/live-shift", "rollout/empty-weighted-pool"]),
    Catch::new(Flaw::ChatSplit5050, SPLITS, &["canary/windows", "canary/less-loaded", "canary/live-shift", "rollout/empty-weighted-pool"]),
    Catch::new(Flaw::StreamsToStable, SPLITS, &["canary/windows", "canary/less-loaded", "canary/live-shift", "rollout/empty-weighted-pool"]),
    Catch::new(Flaw::SplitPerConnection, &["canary/split-keep-alive"], &["canary/windows", "canary/less-loaded", "canary/live-shift", "rollout/empty-weighted-pool"]),
    Catch::new(Flaw::SplitInTurns, &["canary/windows"], &["canary", "rollout/empty-weighted-pool"]),
    // One request in a hundred is served by a pool that has no share in its model.
    Catch::new(Flaw::WeightZeroLeak, &["canary/weight-zero"], &["routing", "protocol", "canary/live-shift", "priority/shed", "errors/runs-once"]),
    Catch::new(Flaw::CanaryStarved, ALL_SPLITS, &["canary/less-loaded", "canary/live-shift", "rollout/empty-weighted-pool"]),
    Catch::new(Flaw::OneIn500Lost, &["canary/windows"], &["routing", "protocol", "canary", "distribution", "priority", "faults", "rollout", "errors", "cancel", "affinity"]),
    Catch::new(Flaw::WeightsStuck, &["canary/live-shift"], &[]),
    Catch::new(Flaw::ReloadCuts, &["canary/live-shift"], &[]),
    Catch::new(Flaw::RewrittenNameLeaks, &["canary/rewrite"], &[]),
    Catch::new(Flaw::RewriteSplitWrong, &["canary/rewrite"], &[]),
];
