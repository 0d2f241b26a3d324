//! Every case as a test, on the stack that `POOLPROOF_STACK` names: `embedded` unless it is set.
//!
//! The variables that `poolproof run --help` shows say more: `POOLPROOF_TARGET`, `POOLPROOF_GATEWAY`, `POOLPROOF_KUBE_API`.
//! `POOLPROOF_EXPECT` names files of expected failures: a listed case may fail, and must not pass.
//! A slow case is ignored unless `POOLPROOF_SLOW` is set, or the filter is its full id.
//! A case whose needs the target does not meet is ignored; one that is no Must cannot fail a test.

mod common;

use std::path::Path;
use std::sync::Arc;

use libtest_mimic::{Arguments, Conclusion, Failed, Trial};
use poolproof_cases::budget::Rates;
use poolproof_cases::case::Case;
use poolproof_cases::run::{self, missing};
use poolproof_model::verdict::{Outcome, Verdict};
use poolproof_records::judged::Judged;
use poolproof_stack::Stack;

fn main() -> std::process::ExitCode {
    let mut arguments = Arguments::from_args();
    // Cases load the stack that they share: two at once would measure each other.
    arguments.test_threads = Some(1);
    let cases: Vec<&'static Case> = poolproof::SUITES
        .iter()
        .flat_map(|suite| suite.cases)
        .collect();
    if arguments.list {
        let trials = cases.iter().map(|case| Trial::test(case.id, || Ok(())));
        return libtest_mimic::run(&arguments, trials.collect()).exit_code();
    }
    match run(&arguments, &cases) {
        Ok(conclusion) => conclusion.exit_code(),
        Err(error) => {
            eprintln!("error: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments, cases: &[&'static Case]) -> Result<Conclusion, String> {
    let program = env!("CARGO_BIN_EXE_poolproof").into();
    let options = poolproof_cli::stack_from_env(program).map_err(|e| format!("{e:#}"))?;
    let expectations =
        poolproof_cli::expectations_from_env(poolproof::APP).map_err(|e| format!("{e:#}"))?;
    let runtime = Arc::new(common::runtime());
    // On a thread that outlives it, since its processes end with that thread.
    let stack = runtime
        .block_on(Stack::start(&options, &mut |_| {}))
        .map_err(|error| common::no_stack(error).message().unwrap_or("").to_owned())?;
    let known = match expectations.applying(&stack.name, &stack.components) {
        Ok(known) => known,
        Err(error) => {
            runtime.block_on(stack.stop());
            return Err(format!("{error:#}"));
        }
    };
    let stack = Arc::new(stack);
    let slow = common::slow();
    let is_too_slow =
        |case: &Case| case.is_slow() && !slow && arguments.filter.as_deref() != Some(case.id);
    let trials = cases.iter().map(|case| {
        let case: &'static Case = case;
        let (runtime, stack) = (runtime.clone(), stack.clone());
        let options = common::run_options(&options);
        let known = known.get(case.id).cloned();
        Trial::test(case.id, {
            let stack = stack.clone();
            move || {
                let target = Arc::new(stack.target.clone());
                let outcome = runtime.block_on(run::run_case(case, &target, &options));
                let outcome = outcome.ok_or("the run was stopped")?;
                let judged = Judged::of(outcome.verdict, known.is_some());
                let expectation = known.map(|known| known.expectation(case.id, judged) + "\n");
                let expectation = expectation.unwrap_or_default();
                if judged.fails(case.level) || judged.leaves_undecided(case.level) {
                    let described = common::describe(case.id, &outcome);
                    return Err(format!("{expectation}{described}\n{}", case.requirement).into());
                }
                eprint!("{expectation}");
                as_planned(case, &options.budget.rates(case), &stack, &outcome)
            }
        })
        .with_kind(case.level.to_string())
        .with_ignored_flag(is_too_slow(case) || missing(case, &stack.target).is_some())
    });
    let conclusion = libtest_mimic::run(arguments, trials.collect());
    if conclusion.has_failed() {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("logs");
        match runtime.block_on(stack.save_logs(&folder)) {
            Ok(true) => eprintln!("logs: {}", folder.display()),
            Ok(false) => {}
            Err(error) => eprintln!("logs: {error:#}"),
        }
    }
    match Arc::try_unwrap(stack) {
        Ok(stack) => runtime.block_on(stack.stop()),
        Err(_) => return Err("a test still holds the stack".to_owned()),
    }
    Ok(conclusion)
}

/// A case that passes has sent no more than it announced.
fn as_planned(case: &Case, rates: &Rates, stack: &Stack, outcome: &Outcome) -> Result<(), Failed> {
    let planned = case.effort(&stack.target, rates)?.requests_max;
    let sent = outcome.requests;
    match outcome.verdict != Verdict::Pass || sent <= planned {
        true => Ok(()),
        false => Err(format!("{sent} requests sent, {planned} planned").into()),
    }
}
