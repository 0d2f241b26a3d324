//! One attempt at a case: guarded, timed, and cleaned up after.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;

use super::Options;
use crate::case::Case;
use crate::context::Context;
use crate::expect;
use crate::need::Missing;
use crate::placed::Placed;
use poolproof_client::machine;
use poolproof_model::target::Target;
use poolproof_model::verdict::{Findings, Outcome, Verdict};

/// The longest time that poolproof may stand still during a case: as long as the shortest timeout that cases judge by.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Runs one case once. Before this returns, the changes of the case are undone and its ballast is gone. The case does
/// not start while ballast of an earlier case still runs.
pub(super) async fn attempt(
    ballast: &Arc<Placed>,
    case: &'static Case,
    target: &Arc<Target>,
    options: &Options,
    number: u8,
) -> Option<Outcome> {
    let (timeouts, rates) = (options.timeouts_of(case), options.budget.rates(case));
    let seed = options.budget.settings().seed;
    let context = match Context::new(target.clone(), timeouts, seed, rates, case.id, number) {
        Ok(context) => context.with_ballast(ballast.clone()),
        Err(error) => return Some(Outcome::error(&error)),
    };
    if let Err(error) = ballast.gone(&context.http, timeouts.drain).await {
        let error =
            error.context("ballast of an earlier case still runs; the case was not started");
        return Some(Outcome::error(&error));
    }
    let (began, lacks) = (Instant::now(), machine::lacks());
    let guarded = AssertUnwindSafe((case.run)(&context)).catch_unwind();
    let outcome = tokio::select! {
        ended = tokio::time::timeout(timeouts.case, guarded) => Some(match ended {
            Ok(Ok(Ok(outcome))) => outcome,
            Ok(Ok(Err(error))) => broken_off(&error),
            Ok(Err(panic)) => Outcome::error(&anyhow::anyhow!("the case panicked: {}", text(&*panic))),
            Err(_) => out_of_time(case, &context),
        }),
        () = options.stop.cancelled() => None,
    };
    let (pause, lacks) = (machine::longest_pause(began), machine::lacks() - lacks);
    let mut failed = context.undo_all().await;
    let mut outcome = trusted(outcome?, pause, lacks);
    if let Err(error) = ballast.gone(&context.http, timeouts.drain).await {
        failed.push(format!("ballast: {error:#}"));
    }
    outcome.requests = context.sent();
    Some(failed.into_iter().fold(outcome, |outcome, line| {
        outcome.evidence(format!("could not be undone: {line}"))
    }))
}

/// The outcome, unless this process stood still for too long, or lacked descriptors or ports: it then measured itself.
fn trusted(outcome: Outcome, pause: Duration, lacks: u64) -> Outcome {
    let why = if outcome.verdict == Verdict::Skip {
        return outcome;
    } else if pause >= PAUSE_MAX {
        format!(
            "poolproof stood still for {:.1} s: it was suspended, or this machine is too busy",
            pause.as_secs_f64()
        )
    } else if lacks > 0 {
        "this machine had no descriptor or no port left: see `poolproof doctor`".to_owned()
    } else {
        return outcome;
    };
    let without = format!("without that: {}: {}", outcome.verdict, outcome.summary);
    Outcome::invalid(why).evidence(without)
}

/// The outcome of a case that returned an error. A need that the target does not meet is a skip, not an error of
/// poolproof.
fn broken_off(error: &anyhow::Error) -> Outcome {
    match error.downcast_ref::<Missing>() {
        Some(missing) => Outcome::skip(missing.to_string()),
        None => Outcome::error(error),
    }
}

/// The outcome of a case that ran out of time. It is a failure if the cause was requests without a response.
pub(super) fn out_of_time(case: &Case, context: &Context) -> Outcome {
    let unanswered = context.unanswered();
    if unanswered == 0 {
        return Outcome::inconclusive(undecided(case, context));
    }
    let mut findings = Findings::default();
    findings.add(expect::that(
        false,
        "every request that is not made to wait",
        format!("an answer within {:?}", context.timeouts.request),
        format!("none to {unanswered} of {}", context.sent()),
    ));
    findings.outcome("")
}

/// Why a case that ran out of time is undecided, and what would decide it.
fn undecided(case: &Case, context: &Context) -> String {
    let sent = context.sent();
    let effort = case.effort(&context.target, &context.rates);
    let left = match effort.map(|effort| effort.requests_max.saturating_sub(sent)) {
        Ok(left) if left > 0 => format!(", {left} more at most would decide"),
        _ => String::new(),
    };
    format!(
        "{sent} requests were sent in {:?}{left}; --case-timeout gives it more time",
        context.timeouts.case
    )
}

fn text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("non-string panic payload")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_that_measured_its_own_machine_is_invalid_whatever_it_found() {
        let failed = || Outcome::error(&anyhow::anyhow!("boom"));
        let of = |outcome, pause_s, lacks| {
            trusted(outcome, Duration::from_secs_f64(pause_s), lacks).verdict
        };
        assert_eq!(of(Outcome::pass(""), 0.9, 0), Verdict::Pass);
        assert_eq!(of(failed(), 0.0, 0), Verdict::Error);
        assert_eq!(of(Outcome::pass(""), 1.5, 0), Verdict::Invalid);
        assert_eq!(of(failed(), 0.0, 1), Verdict::Invalid);
        assert_eq!(of(Outcome::skip(""), 9.0, 9), Verdict::Skip);
        let shown = trusted(Outcome::pass("fine"), PAUSE_MAX, 0);
        assert_eq!(shown.evidence, ["without that: pass: fine"]);
    }
}
