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
mod stream_text;
mod stream_twins;
mod stream_unbuffered;
mod unknown_model;

use poolproof_cases::case::{Catch, Suite};
use poolproof_cases::expect::{self, Found};
use poolproof_client::Exchange;
use poolproof_fixtures::flaw::Flaw;
use poolproof_model::verdict::Findings;

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
    catches: CATCHES,
};

/// Cases that ask for a model that no route has.
const UNKNOWN: &[&str] = &["routing/unknown-model", "routing/exact-name"];

/// Other cases in which some requests are for no model that is there.
const NOWHERE: &[&str] = &[
    "routing/invalid-model",
    "routing/blanks",
    "routing/spoofed-model-header",
    "routing/chunked-body",
    "protocol/methods",
    "protocol/http2",
];

/// Streams that are not what the case is about, half of most samples: the one in 50 that is damaged may be among them.
const SOME_STREAMS: &[&str] = &[
    "routing/known-model",
    "routing/stream-unbuffered",
    "canary",
    "distribution",
    "priority",
    "errors",
    "cancel",
    "protocol",
    "faults",
    "rollout",
    "affinity",
];

/// Chat among other requests.
const SOME_CHAT: &[&str] = &[
    "routing/exact-name",
    "routing/late-model",
    "routing/chunked-body",
    "canary",
    "distribution",
    "priority",
    "faults",
    "protocol",
    "affinity",
    "errors",
    "cancel",
    "rollout",
];

/// The flaws that this suite must catch.
#[rustfmt::skip]
const CATCHES: &[Catch] = &[
    Catch::new(Flaw::CatchAllRoute, &["routing/unknown-model", "routing/invalid-model"],
        &["routing/exact-name", "routing/blanks", "routing/spoofed-model-header", "routing/chunked-body", "protocol/http2"]),
    Catch::new(Flaw::TrustedModelHeader, &["routing/spoofed-model-header"], &[]),
    Catch::new(Flaw::PrefixMatch, &["routing/exact-name"], &["routing/blanks"]),
    Catch::new(Flaw::CaseInsensitiveMatch, &["routing/exact-name"], &[]),
    Catch::new(Flaw::TrimmedModelName, &["routing/blanks"], &[]),
    Catch::new(Flaw::AdapterUnrouted, &["routing/adapter"], &["canary/rewrite"]),
    Catch::new(Flaw::AdapterAsModel, &["routing/adapter"], &["protocol/body-unchanged", "canary/rewrite"]),
    Catch::new(Flaw::CrossedRoutes, &["routing/known-model"], &["routing", "protocol", "canary", "distribution", "priority", "faults", "rollout", "errors", "cancel", "affinity"]),
    Catch::new(Flaw::ChatRouteMissing, &["routing/known-model"], SOME_CHAT),
    Catch::new(Flaw::TrustedDestinationHeader, &["routing/spoofed-destination"], &[]),
    Catch::new(Flaw::BodyCut64k, &["routing/late-model"], &["protocol/body-unchanged", "protocol/large-requests", "protocol"]),
    Catch::new(Flaw::ChunkedBodyIgnored, &["routing/chunked-body"], &["protocol/large-requests"]),
    Catch::new(Flaw::OversizeRouted, &["routing/body-limit"], &[]),
    Catch::new(Flaw::EscapedModelName, &["routing/exact-name"], &[]),
    Catch::new(Flaw::ProviderDropped, &["routing/exact-name"], &[]),
    Catch::new(Flaw::RepeatedHeaderTrusted, &["routing/spoofed-model-header"], &[]),
    Catch::new(Flaw::UnknownRun, UNKNOWN, &["routing/spoofed-model-header"]),
    Catch::new(Flaw::UnknownStreamRouted, &["routing/unknown-model"], &["protocol/http2"]),
    Catch::new(Flaw::Unknown503, UNKNOWN, NOWHERE),
    Catch::new(Flaw::Unknown200, UNKNOWN, NOWHERE),
    Catch::new(Flaw::UnknownSlow, &["routing/unknown-model"], &[]),
    Catch::new(Flaw::StreamBuffered, &["routing/stream-unbuffered"], &["cancel"]),
    Catch::new(Flaw::StreamCut, &["routing/stream-intact"], SOME_STREAMS),
    Catch::new(Flaw::StreamRepeated, &["routing/stream-intact"], SOME_STREAMS),
    Catch::new(Flaw::StreamReordered, &["routing/stream-intact"], SOME_STREAMS),
    Catch::new(Flaw::StreamEndLost, &["routing/stream-intact"], SOME_STREAMS),
    Catch::new(Flaw::StreamAborted, &["routing/stream-intact"], SOME_STREAMS),
    Catch::new(Flaw::StreamErrorLine, &["routing/stream-intact"], SOME_STREAMS),
    Catch::new(Flaw::OnePickerPerRule, &["routing/known-model"], &["routing/adapter", "routing/chunked-body", "canary/less-loaded", "canary/live-shift", "priority", "faults", "protocol", "errors", "cancel", "rollout"]),
    Catch::new(Flaw::ServedTwice, &["routing/known-model"], &["routing/adapter", "routing/chunked-body", "canary", "distribution", "priority", "faults", "errors", "cancel", "rollout"]),
    Catch::new(Flaw::BodySentCut, &["routing/late-model"], &["protocol/body-unchanged", "protocol/large-requests", "protocol"]),
    Catch::new(Flaw::LateBodyCutAtTimes, &["routing/late-model"], &["routing/body-limit", "protocol/body-unchanged", "protocol/large-requests", "protocol/expect-continue"]),
    Catch::new(Flaw::UnknownRoutedAtTimes, UNKNOWN, NOWHERE),
    Catch::new(Flaw::EscapedNameLostAtTimes, &["routing/exact-name"], &["protocol/body-unchanged"]),
    Catch::new(Flaw::InvalidRoutedAtTimes, &["routing/invalid-model"], &[]),
    Catch::new(Flaw::StreamBufferedAtTimes, &["routing/stream-unbuffered"], &["cancel/frees-endpoint"]),
];

/// A 4xx of the gateway itself, routed nowhere.
fn refusal(what: &str, exchange: &Exchange) -> [Found; 2] {
    [
        expect::statuses(what, exchange, 400..=499),
        expect::routed_nowhere(what, exchange),
    ]
}

/// Adds whether an answer is a [`refusal`].
fn refused(findings: &mut Findings, what: &str, exchange: &Exchange) {
    for found in refusal(what, exchange) {
        findings.add(found);
    }
}
