//! Protocol: what arrives at the endpoint is what the client sent, and what comes back is what the endpoint answered.

mod answers;
mod arrivals;
mod body_unchanged;
mod compression;
mod control_headers;
mod control_headers_removed;
mod corpus;
mod empty_answers;
mod events;
mod expect_continue;
mod http2;
mod large_answers;
mod large_requests;
mod meaning;
mod methods;
mod other_paths;
mod paths;
mod repeated_headers;
mod sse_framing;
mod straight;

use anyhow::Result;
use poolproof_cases::budget::Rates;
use poolproof_cases::case::{Catch, Suite};
use poolproof_cases::context::Context;
use poolproof_cases::expect;
use poolproof_client::Exchange;
use poolproof_client::evidence::served;
use poolproof_fixtures::flaw::Flaw;
use poolproof_model::target::Model;
use poolproof_model::verdict::Findings;
use poolproof_stats::binomial::Plan;

use crate::none;

/// The suite.
pub const SUITE: Suite = Suite {
    id: "protocol",
    promise: "the endpoint receives what the client sent, and the client receives what the endpoint answered",
    cases: &[
        body_unchanged::CASE,
        paths::CASE,
        other_paths::CASE,
        methods::CASE,
        control_headers::CASE,
        control_headers_removed::CASE,
        large_answers::CASE,
        large_requests::CASE,
        http2::CASE,
        sse_framing::CASE,
        compression::CASE,
        empty_answers::CASE,
        expect_continue::CASE,
        repeated_headers::CASE,
    ],
    catches: CATCHES,
};

/// Large bodies of other cases, among which the one in five may be.
const LARGE: &[&str] = &["routing/late-model"];

/// The flaws that this suite must catch.
#[rustfmt::skip]
const CATCHES: &[Catch] = &[
    Catch::new(Flaw::BodyReencodedAsFloats, &["protocol/body-unchanged"], &[]),
    Catch::new(Flaw::UnknownKeysDropped, &["protocol/body-unchanged"], &[]),
    Catch::new(Flaw::PromptMustBeText, &["protocol/body-unchanged"], &[]),
    Catch::new(Flaw::QueryStringNotUnderstood, &["protocol/paths"], &[]),
    Catch::new(Flaw::UnknownPath500, &["protocol/other-paths"], &["protocol/methods"]),
    Catch::new(Flaw::MultipartHangs, &["protocol/other-paths"], &[]),
    Catch::new(Flaw::GetBreaksNext, &["protocol/methods"], &[]),
    Catch::new(Flaw::RewriteHeaderTrusted, &["protocol/control-headers"], &[]),
    Catch::new(Flaw::SubsetHeaderTrusted, &["protocol/control-headers"], &["protocol/control-headers-removed"]),
    Catch::new(Flaw::ControlHeadersLeak, &["protocol/control-headers-removed"], &[]),
    Catch::new(Flaw::LargeAnswerCut, &["protocol/large-answers"], &[]),
    Catch::new(Flaw::LargeBodyDoubled, &["protocol/large-requests"], LARGE),
    Catch::new(Flaw::Http2StreamCut, &["protocol/http2"], &["protocol/sse-framing", "cancel/frees-endpoint", "cancel/leaks-nothing", "errors"]),
    Catch::new(Flaw::Http2UnknownRouted, &["protocol/http2"], &[]),
    // A read of a gateway may end inside a line although its endpoint wrote whole ones.
    Catch::new(Flaw::TornLineDropped, &["protocol/sse-framing"], &["routing/stream-intact", "protocol/compression", "canary/live-shift", "faults", "protocol/large-answers"]),
    Catch::new(Flaw::CommentsBreakStream, &["protocol/sse-framing"], &["protocol/compression"]),
    Catch::new(Flaw::CrlfNotUnderstood, &["protocol/sse-framing"], &["protocol/compression"]),
    Catch::new(Flaw::MultibyteGarbled, &["protocol/sse-framing"], &["protocol/compression"]),
    Catch::new(Flaw::GzipRoutedByDefault, &["protocol/compression"], &[]),
    Catch::new(Flaw::EncodingHeaderKept, &["protocol/compression"], &[]),
    Catch::new(Flaw::EmptyAnswerHangs, &["protocol/empty-answers"], &[]),
    Catch::new(Flaw::ExpectRefused, &["protocol/expect-continue"], &[]),
    Catch::new(Flaw::RepeatedHeaderLost, &["protocol/repeated-headers"], &[]),
    Catch::new(Flaw::RepeatedAnswerHeaderLost, &["protocol/repeated-headers"], &[]),
];

/// The most decisions of a case of this suite: they share its alpha.
const DECISIONS_MAX: f64 = 8.0;

/// The sample that catches a share of wrong requests, as one of several decisions of a case.
fn none_of(bad: f64, rates: &Rates) -> Result<Plan> {
    let alpha = rates.alpha / DECISIONS_MAX;
    none::plan(bad, &Rates { alpha, ..*rates })
}

/// Expects an answer by a pool of the model, if the answer names its endpoint.
fn of_own_pool(
    ctx: &Context,
    what: &str,
    model: &Model,
    exchange: &Exchange,
    findings: &mut Findings,
) {
    if served::endpoint_of(exchange).is_some() {
        findings.add(expect::served_by(what, exchange, &ctx.target, model));
    }
}
