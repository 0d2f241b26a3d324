//! Status: the conditions of Gateways, HTTPRoutes and InferencePools are true, and follow changes in time.
//!
//! A case creates objects in namespaces of its own. It sends no request.

mod accepted;
mod conditions;
mod cross_namespace;
mod listener;
mod missing_picker;
mod missing_pool;
mod objects;
mod parents;
mod pool_generation;
mod port;

use poolproof_cases::case::{Catch, Suite};
use poolproof_fixtures::flaw::Flaw;

/// The suite.
pub const SUITE: Suite = Suite {
    id: "status",
    promise: "the conditions of Gateways, routes and pools are true, and follow changes in time",
    cases: &[
        accepted::CASE,
        pool_generation::CASE,
        listener::CASE,
        missing_pool::CASE,
        missing_picker::CASE,
        port::CASE,
        cross_namespace::CASE,
        parents::CASE,
    ],
    catches: CATCHES,
};

/// The flaws that this suite must catch.
#[rustfmt::skip]
const CATCHES: &[Catch] = &[
    Catch::new(Flaw::StatusStaleGeneration, &["status/accepted", "status/listener"], &[]),
    Catch::new(Flaw::StatusLate, &["status/accepted"], &["status"]),
    Catch::new(Flaw::StatusPoolGenerationStale, &["status/pool-generation"], &[]),
    Catch::new(Flaw::StatusUnmatchedAccepted, &["status/listener"], &[]),
    Catch::new(Flaw::StatusMissingPoolResolved, &["status/missing-pool"], &[]),
    Catch::new(Flaw::StatusUnknownKindResolved, &["status/missing-pool"], &[]),
    Catch::new(Flaw::StatusPoolUnwatched, &["status/missing-pool", "status/cross-namespace"], &[]),
    Catch::new(Flaw::StatusMissingPickerResolved, &["status/missing-picker"], &[]),
    Catch::new(Flaw::StatusPortRefused, &["status/port"], &[]),
    Catch::new(Flaw::StatusUngrantedResolved, &["status/cross-namespace"], &[]),
    Catch::new(Flaw::StatusGrantIgnored, &["status/cross-namespace"], &[]),
    Catch::new(Flaw::StatusGrantKept, &["status/cross-namespace"], &[]),
    Catch::new(Flaw::StatusParentsKept, &["status/parents"], &[]),
    Catch::new(Flaw::StatusOneParent, &["status/parents"], &[]),
];
