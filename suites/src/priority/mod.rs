//! Interactive requests go before batch ones under contention, and batch ones are not lost.

mod batch_served_after;
mod contention;
mod held_order;
mod interactive_admitted;
mod objective_edited;
mod shed;
mod uncontended;

use poolproof_harness::case::Suite;
use poolproof_harness::client::{Api, Request};
use poolproof_harness::context::Context;
use rand::Rng;

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
    ],
};

/// A short request of a class: its objective's name, or none.
fn request(ctx: &Context, model: &str, class: Option<&str>, rng: &mut impl Rng) -> Request {
    const TOKENS: u32 = 4;
    let request = Request::new(Api::Completions, model, TOKENS, rng).timeout(ctx.timeouts.case);
    match class {
        Some(objective) => request.header(&ctx.target.objective_header, objective),
        None => request,
    }
}
