//! Rollouts: what becomes of requests while endpoints end, move, come and go as a Deployment replaces them.

mod empty_pool;
mod empty_weighted_pool;
mod flapping;
mod moved;
mod not_ready;
mod refusal;
mod terminate;
mod traffic;

use std::time::Instant;

use anyhow::Result;
use poolproof_cases::budget::Rates;
use poolproof_cases::case::{Catch, Suite};
use poolproof_cases::context::Context;
use poolproof_cases::expect;
use poolproof_client::{Connections, Exchange};
use poolproof_fixtures::flaw::Flaw;
use poolproof_model::target::Model;
use poolproof_model::verdict::Findings;
use poolproof_stats::binomial::{Plan, Question};

use traffic::Forms;

/// The suite.
pub const SUITE: Suite = Suite {
    id: "rollout",
    promise: "while endpoints are replaced, no request is lost that need not be, and none goes to what is gone",
    cases: &[
        terminate::CASE,
        not_ready::CASE,
        empty_pool::CASE,
        empty_weighted_pool::CASE,
        moved::CASE,
        flapping::CASE,
    ],
    catches: CATCHES,
};

/// The flaws that this suite must catch.
#[rustfmt::skip]
const CATCHES: &[Catch] = &[
    Catch::new(Flaw::TerminatingPicked, &["rollout/terminate"], &[]),
    Catch::new(Flaw::ReadyIgnored, &["rollout/not-ready"], &[]),
    Catch::new(Flaw::EmptyPool500, &["rollout/empty-pool", "rollout/empty-weighted-pool"], &[]),
    Catch::new(Flaw::EmptyPoolHangs, &["rollout/empty-pool", "rollout/empty-weighted-pool"], &[]),
    Catch::new(Flaw::EmptyPoolFailsRule, &["rollout/empty-weighted-pool"], &[]),
    Catch::new(Flaw::MovedEndpointKept, &["rollout/moved"], &[]),
    Catch::new(Flaw::FlapCountsNegative, &["rollout/flapping"], &["faults", "rollout", "errors/refusals-eject-nobody", "cancel/leaks-nothing", "affinity"]),
    Catch::new(Flaw::GracefulEndCut, &["rollout/terminate"], &["faults/endpoint-killed"]),
];

/// The smallest share of lost or misdirected requests that must be caught.
const BAD: f64 = 0.02;

/// The sample that shows that no request does what is counted.
fn none(rates: &Rates) -> Result<Plan> {
    let question = Question::AtMost {
        null: 0.0,
        bad: BAD,
    };
    // On a correct stack none does: no alpha is spent, as small as it may be.
    Plan::new(question, rates.alpha, rates.power)
}

/// Waits until a request for a model whose pool was emptied is not served, and returns that one. Adds a failure if all
/// are served within the time for a recovery.
async fn emptied(
    ctx: &Context,
    model: &Model,
    findings: &mut Findings,
) -> Result<Option<Exchange>> {
    let client = ctx.client(Connections::NewPerRequest)?;
    let requests = Forms::new(ctx, model, 1, "until it is empty").given_up_after_refusal(ctx);
    let (begun, mut served) = (Instant::now(), 0);
    for request in requests {
        let exchange = client.send(request).await;
        if !exchange.is_success() {
            findings.note(format!(
                "{served} requests were served before the first refusal"
            ));
            return Ok(Some(exchange));
        }
        served += 1;
        if begun.elapsed() > ctx.timeouts.recovery {
            break;
        }
    }
    findings.add(all_served(served, begun));
    Ok(None)
}

/// The failure of a pool that was emptied, and whose requests are served on.
fn all_served(served: u64, begun: Instant) -> expect::Found {
    expect::that(
        false,
        "requests once the pool is empty",
        "refused",
        format!("{served} served in {:?}", begun.elapsed()),
    )
}
