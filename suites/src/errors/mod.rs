//! Errors: what an endpoint refuses or breaks off reaches the client as it is, and ends nothing else.

mod arrivals;
mod closed_connections;
mod cut_shows;
mod many_streams;
mod odd_answers;
mod passed_through;
mod refusals_eject_nobody;
mod refused_connections;
mod route_timeout;
mod runs_once;
mod slow_answers;

use poolproof_cases::case::{Catch, Suite};
use poolproof_fixtures::flaw::Flaw;

/// The suite.
pub const SUITE: Suite = Suite {
    id: "errors",
    promise: "an endpoint's error or broken answer reaches the client as it is, once, and ends nothing else",
    cases: &[
        passed_through::CASE,
        cut_shows::CASE,
        runs_once::CASE,
        refused_connections::CASE,
        closed_connections::CASE,
        refusals_eject_nobody::CASE,
        odd_answers::CASE,
        route_timeout::CASE,
        slow_answers::CASE,
        many_streams::CASE,
    ],
    catches: CATCHES,
};

/// The flaws that this suite must catch.
#[rustfmt::skip]
const CATCHES: &[Catch] = &[
    Catch::new(Flaw::StreamErrorEmptied, &["errors/passed-through"], &["rollout/empty-pool", "rollout/empty-weighted-pool"]),
    Catch::new(Flaw::ErrorAs200Stream, &["errors/passed-through", "errors/refusals-eject-nobody"], &["errors/cut-shows", "faults", "priority/shed", "errors/refused-connections", "rollout/empty-pool", "rollout/empty-weighted-pool"]),
    Catch::new(Flaw::RefusalReworded, &["errors/passed-through"], &["priority/shed", "routing/late-model"]),
    Catch::new(Flaw::RetryAfterDropped, &["errors/passed-through"], &[]),
    Catch::new(Flaw::CutAs400, &["errors/cut-shows"], &["errors/refused-connections", "faults"]),
    Catch::new(Flaw::PostRetried, &["errors/runs-once"], &["faults"]),
    // A reset is sent on as well.
    Catch::new(Flaw::RetriedInAnotherPool, &["errors/refused-connections", "errors/runs-once"],
        &["errors/cut-shows", "cancel/leaks-nothing", "faults", "rollout/flapping"]),
    Catch::new(Flaw::StaleConnectionLost, &["errors/closed-connections"], &["errors/refusals-eject-nobody", "errors/odd-answers"]),
    // Endpoints are ejected in other cases too, and for longer than a case takes.
    Catch::new(Flaw::BreakerOn4xx, &["errors/refusals-eject-nobody"], &["errors", "cancel", "faults"]),
    Catch::new(Flaw::OddUsageKills, &["errors/odd-answers"], &["cancel", "faults"]),
    Catch::new(Flaw::FirstByteTimeout, &["errors/slow-answers"], &["errors/many-streams"]),
    Catch::new(Flaw::IdleStreamCut, &["errors/slow-answers"], &["errors/many-streams"]),
    Catch::new(Flaw::IdleWholeCut, &["errors/slow-answers"], &[]),
    Catch::new(Flaw::SlowRepeated, &["errors/slow-answers"], &[]),
    Catch::new(Flaw::RouteTimeoutIgnored, &["errors/route-timeout"], &[]),
    Catch::new(Flaw::PickerStreamsCapped, &["errors/many-streams"], &[]),
];
