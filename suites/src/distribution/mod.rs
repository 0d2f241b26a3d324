//! Distribution: requests go to the less-loaded endpoint.

mod burst;
mod busy;
mod each_in_turn;
mod follows_load;
pub(crate) mod idle;
mod kv_pressure;
mod metrics_gone;
mod one_busy;
mod ports;
mod two_busy;
mod two_engines;

use poolproof_cases::case::{Catch, Suite};
use poolproof_fixtures::flaw::Flaw;

/// The suite.
pub const SUITE: Suite = Suite {
    id: "distribution",
    promise: "requests go to the less-loaded endpoint",
    cases: &[
        idle::CASE,
        burst::CASE,
        one_busy::CASE,
        two_busy::CASE,
        each_in_turn::CASE,
        kv_pressure::CASE,
        follows_load::CASE,
        metrics_gone::CASE,
        two_engines::CASE,
        ports::CASE,
    ],
    catches: CATCHES,
};

/// Where a picker that is blind to load is seen.
const LOAD_BLIND: &[&str] = &[
    "distribution/one-busy",
    "distribution/two-busy",
    "distribution/each-in-turn",
    "canary/less-loaded",
];

/// Where a gateway is seen that does not follow the picks for one API, or for streams; and where it may be.
const KIND_BLIND: &[&str] = &[
    "distribution/one-busy",
    "distribution/two-busy",
    "canary/less-loaded",
];
const KIND_BLIND_MAY: &[&str] = &[
    "routing/known-model",
    "routing/chunked-body",
    "canary",
    "distribution",
    "priority",
    "faults",
    "affinity",
    "rollout",
];

/// Where a wrong pick now and then may be seen. Wrong picks pile up where load is, until that alone saturates the pool.
const PICKS: &[&str] = &[
    "distribution",
    "affinity",
    "canary/less-loaded",
    "priority/shed",
    "faults",
    "rollout",
];

/// The flaws that this suite must catch.
#[rustfmt::skip]
const CATCHES: &[Catch] = &[
    // Answers and the picker's counters disagree on who served, so a comparison of the two decides nothing.
    Catch::new(Flaw::PickIgnored, &["distribution/two-busy"], &["routing/known-model", "canary", "distribution", "priority", "faults", "cancel", "affinity", "rollout", "routing/chunked-body"]),
    Catch::new(Flaw::ChatAtRandom, KIND_BLIND, KIND_BLIND_MAY),
    Catch::new(Flaw::StreamsAtRandom, KIND_BLIND, KIND_BLIND_MAY),
    Catch::new(Flaw::BurstToOne, &["distribution/burst", "distribution/idle"], &["affinity/prefix", "errors/refusals-eject-nobody", "cancel/leaks-nothing", "faults/endpoint-removed", "rollout/flapping"]),
    Catch::new(Flaw::RoundRobin, LOAD_BLIND, PICKS),
    Catch::new(Flaw::Random, LOAD_BLIND, PICKS),
    // A picker that believes in idle endpoints never takes its pool to be saturated.
    Catch::new(Flaw::StaleMetrics, &["distribution/one-busy", "distribution/follows-load"],
        &["distribution", "affinity", "canary/less-loaded", "priority", "cancel", "faults", "rollout"]),
    Catch::new(Flaw::KvIgnored, &["distribution/kv-pressure"], &[]),
    // With two endpoints in a pool and one of them starved, all goes to the other, busy or not, until it fills the pool.
    // What one endpoint less takes piles up at the others.
    Catch::new(Flaw::StarvedEndpoint, &["distribution/idle"], &["canary/less-loaded", "distribution/metrics-gone", "distribution/ports", "distribution/burst", "priority/shed", "errors/refusals-eject-nobody", "cancel", "affinity", "rollout/flapping"]),
    Catch::new(Flaw::MetricsMagnet, &["distribution/metrics-gone"], &["faults/endpoint-killed"]),
    Catch::new(Flaw::PartlyRandom, &["distribution/one-busy", "distribution/two-busy"], PICKS),
    Catch::new(Flaw::LateMetrics, &["distribution/one-busy"], &["distribution", "canary/less-loaded", "priority", "cancel", "faults", "rollout", "affinity"]),
    Catch::new(Flaw::OneEngineRead, &["distribution/two-engines"], &[]),
    Catch::new(Flaw::LastEngineRead, &["distribution/two-engines"], &[]),
    // As with a starved endpoint.
    Catch::new(Flaw::SecondPortUnused, &["distribution/ports", "distribution/idle"], &["canary/less-loaded", "distribution", "priority/shed", "errors/refusals-eject-nobody", "cancel", "affinity", "rollout", "faults"]),
    Catch::new(Flaw::ClosedPortPicked, &["distribution/ports"], &[]),
    Catch::new(Flaw::BlindSpot, &["distribution/two-busy", "distribution/each-in-turn"], &["priority/shed", "affinity"]),
];
