//! Affinity: requests that share something with earlier ones go to the endpoint that has it.

mod gives_way;
mod prefix;
mod session;

use poolproof_cases::case::{Catch, Suite};
use poolproof_fixtures::flaw::Flaw;

/// The suite.
pub const SUITE: Suite = Suite {
    id: "affinity",
    promise: "requests that share a prefix go to the endpoint that has it",
    cases: &[prefix::CASE, gives_way::CASE, session::CASE],
    catches: CATCHES,
};

/// The flaws that this suite must catch.
#[rustfmt::skip]
const CATCHES: &[Catch] = &[
    Catch::new(Flaw::PrefixIgnored, &["affinity/prefix"], &[]),
    // Full and stale endpoints stay among its candidates.
    Catch::new(Flaw::PrefixOverLoad, &["affinity/gives-way"], &["distribution/metrics-gone"]),
    // Long prompts of other cases go to the first endpoint too.
    Catch::new(Flaw::PrefixToOne, &["affinity/prefix"], &["affinity", "distribution/kv-pressure"]),
    Catch::new(Flaw::SessionIgnored, &["affinity/session"], &[]),
    Catch::new(Flaw::SessionSticksToDead, &["affinity/session"], &[]),
    Catch::new(Flaw::SessionNotRenewed, &["affinity/session"], &[]),
];
