//! Routing: the model name in the body decides where a request goes, and nothing else does.

mod adapter;
mod blanks;
mod body_limit;
mod chunked_body;
mod exact_name;
mod far_end;
mod invalid_model;
mod known_model;
mod late_model;
mod own_pools;
mod spoofed_destination;
mod spoofed_model_header;
mod stream_intact;
mod stream_unbuffered;
mod unknown_model;

use poolproof_harness::case::Suite;
use poolproof_harness::client::Exchange;
use poolproof_harness::expect::{self, Found};
use poolproof_harness::verdict::Findings;

use far_end::FarEnd;

/// The suite.
pub const SUITE: Suite = Suite {
    id: "routing",
    promise: "a request goes to the pool of its model, its answer comes back whole, and an unknown model gets a clean 404",
    cases: &[
        known_model::CASE,
        adapter::CASE,
        unknown_model::CASE,
        invalid_model::CASE,
        exact_name::CASE,
        blanks::CASE,
        spoofed_model_header::CASE,
        spoofed_destination::CASE,
        late_model::CASE,
        chunked_body::CASE,
        body_limit::CASE,
        stream_intact::CASE,
        stream_unbuffered::CASE,
    ],
};

/// A 4xx of the gateway itself, routed nowhere.
fn refused(findings: &mut Findings, what: &str, exchange: &Exchange) {
    let checks: [Found; 2] = [
        expect::statuses(what, exchange, 400..=499),
        expect::routed_nowhere(what, exchange),
    ];
    checks.into_iter().for_each(|found| findings.add(found));
}
