//! Interactive requests go before batch ones under contention, and batch ones are not lost.

mod after_idle;
mod batch_served_after;
pub(crate) mod contention;
mod fairness;
mod full;
mod held_counted;
mod held_expires;
mod held_limit;
mod held_order;
mod interactive_admitted;
mod objective_edited;
mod shed;
mod stall;
mod uncontended;

use poolproof_cases::case::{Catch, Suite};
use poolproof_cases::context::Context;
use poolproof_client::Request;
use poolproof_fixtures::flaw::Flaw;
use rand::Rng;

use crate::mix::Kind;

pub const SUITE: Suite = Suite {
    id: "priority",
    promise: "interactive requests go before batch ones under contention",
    cases: &[
        uncontended::CASE,
        held_order::CASE,
        interactive_admitted::CASE,
        batch_served_after::CASE,
        shed::CASE,
        objective_edited::CASE,
        fairness::CASE,
        held_limit::CASE,
        held_expires::CASE,
        held_counted::CASE,
        after_idle::CASE,
    ],
    catches: CATCHES,
};

/// Where objectives are edited, if they count for something before.
const EDITED: &[&str] = &["priority/objective-edited"];
/// Where else priorities count: a limit is one of a priority.
const COUNTED: &[&str] = &["priority/objective-edited", "priority/held-limit"];

/// The flaws that this suite must catch.
#[rustfmt::skip]
const CATCHES: &[Catch] = &[
    Catch::new(Flaw::ObjectiveLost, &["priority/held-order", "priority/shed"], COUNTED),
    Catch::new(Flaw::ChatObjectiveLost, &["priority/held-order", "priority/shed"],
        &["priority/objective-edited", "priority/fairness", "priority/held-limit"]),
    Catch::new(Flaw::OneQueue, &["priority/fairness"], &[]),
    Catch::new(Flaw::PriorityIgnored, &["priority/held-order"], &["priority/shed", "priority/objective-edited", "priority/held-limit"]),
    Catch::new(Flaw::ObjectiveEditIgnored, EDITED, &[]),
    Catch::new(Flaw::PriorityInverted, &["priority/held-order", "priority/shed"], COUNTED),
    Catch::new(Flaw::PriorityAtTimes, &["priority/held-order"], &["priority/objective-edited", "priority/fairness"]),
    Catch::new(Flaw::InteractiveRefusedAtTimes, &["priority/interactive-admitted", "priority/held-order", "priority/shed"],
        &["priority/batch-served-after", "priority/objective-edited", "priority/fairness", "priority/held-limit"]),
    // A refused request is not held, so nothing is known of those that are; and missing metrics count as saturated.
    Catch::new(Flaw::InteractiveShed, &["priority/interactive-admitted", "priority/shed"],
        &["priority/held-order", "priority/batch-served-after", "priority/objective-edited", "priority/fairness", "distribution/metrics-gone",
            "cancel/frees-endpoint", "priority/held-limit"]),
    Catch::new(Flaw::NeverShed, &["priority/shed"], &[]),
    Catch::new(Flaw::ShedEarly, &["priority/shed"], &[]),
    Catch::new(Flaw::BatchDelayed, &["priority/uncontended"], &[]),
    Catch::new(Flaw::BatchLost, &["priority/batch-served-after"], &["priority/held-order", "priority/objective-edited", "priority/held-limit"]),
    Catch::new(Flaw::HeldNeverExpires, &["priority/held-expires"], &[]),
    // With a pool that is full by count, ballast does not fill it.
    Catch::new(Flaw::SilentUncounted, &["priority/held-counted"], &["priority", "cancel/frees-endpoint"]),
    Catch::new(Flaw::BandLimitIgnored, &["priority/held-limit"], &[]),
    Catch::new(Flaw::IdleBandLost, &["priority/after-idle"], &[]),
];

/// A short request of a class: its objective's name, or none.
fn request(
    ctx: &Context,
    model: &str,
    kind: Kind,
    class: Option<&str>,
    rng: &mut impl Rng,
) -> Request {
    const TOKENS: u32 = 4;
    let request = kind.request(model, TOKENS, rng).timeout(ctx.timeouts.case);
    match class {
        Some(objective) => request.header(&ctx.target.objective_header, objective),
        None => request,
    }
}
