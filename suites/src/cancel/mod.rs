//! Cancellation: a client that leaves frees what its request held.

mod frees_endpoint;
mod leaks_nothing;
mod left;

use poolproof_cases::case::{Catch, Suite};
use poolproof_fixtures::flaw::Flaw;

/// The suite.
pub const SUITE: Suite = Suite {
    id: "cancel",
    promise: "a client that leaves frees what its request held",
    cases: &[frees_endpoint::CASE, leaks_nothing::CASE],
    catches: CATCHES,
};

/// The flaws that this suite must catch.
#[rustfmt::skip]
const CATCHES: &[Catch] = &[
    Catch::new(Flaw::CancelIgnored, &["cancel/frees-endpoint"], &["cancel/leaks-nothing"]),
    Catch::new(Flaw::CancelIgnoredWhole, &["cancel/frees-endpoint"], &["cancel/leaks-nothing"]),
    Catch::new(Flaw::CancelBeforeHeadIgnored, &["cancel/frees-endpoint"], &["cancel/leaks-nothing", "faults/picker-down"]),
    Catch::new(Flaw::HeldRunsAnyway, &["cancel/frees-endpoint"], &["cancel/leaks-nothing"]),
    // Answers that break count as well, so that an endpoint may be at its limit before.
    Catch::new(Flaw::AbortLeaksCount, &["cancel/leaks-nothing"], &["errors", "cancel", "faults", "rollout"]),
];
