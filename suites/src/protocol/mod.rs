//! Protocol: what arrives at the endpoint is what the client sent, and what comes back is what the endpoint answered.

mod answers;
mod arrivals;
mod body_unchanged;
mod control_headers;
mod control_headers_removed;
mod corpus;
mod large_answers;
mod large_requests;
mod meaning;
mod methods;
mod other_paths;
mod paths;
mod straight;

use poolproof_cases::case::{Catch, Suite};
use poolproof_fixtures::flaw::Flaw;

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
];
