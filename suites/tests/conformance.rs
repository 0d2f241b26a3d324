//! Every case as a test, on the stack that `POOLPROOF_STACK` names: `embedded` unless it is set.
//!
//! The variables that `poolproof run --help` shows say more: `POOLPROOF_TARGET`, `POOLPROOF_GATEWAY`, `POOLPROOF_KUBE_API`.
//! `POOLPROOF_EXPECT` names files of expected failures: a listed case may fail, and must not pass.
//! A slow case is ignored unless `POOLPROOF_SLOW` is set, or the filter is its full id.
//! A case whose needs the target does not meet is ignored; one that is no Must cannot fail a test.

mod common;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use libtest_mimic::{Arguments, Conclusion, Failed, Trial};
use poolproof_cases::budget::Rates;
use poolproof_cases::case::Case;
use poolproof_cases::run::{self, missing};
use poolproof_model::parts::StackKind;
use poolproof_model::target::Target;
use poolproof_model::verdict::{Outcome, Verdict};
use poolproof_records::judged::Judged;
use poolproof_records::limits;
use poolproof_stack::Stack;
use tokio::runtime::Runtime;

fn main() -> std::process::ExitCode {
    let arguments = Arguments::from_args();
    let cases: Vec<&'static Case> = poolproof::SUITES
        .iter()
        .flat_map(|suite| suite.cases)
        .collect();
    if arguments.list {
        let trials = cases.iter().map(|case| Trial::test(case.id, || Ok(())));
        return libtest_mimic::run(&arguments, trials.collect()).exit_code();
    }
    match run(arguments, &cases) {
        Ok(conclusion) => conclusion.exit_code(),
        Err(error) => {
            eprintln!("error: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}

fn run(mut arguments: Arguments, cases: &[&'static Case]) -> Result<Conclusion, String> {
    let program = env!("CARGO_BIN_EXE_poolproof").into();
    let options = poolproof_cli::stack_from_env(program).map_err(|e| format!("{e:#}"))?;
    let expectations =
        poolproof_cli::expectations_from_env(poolproof::APP).map_err(|e| format!("{e:#}"))?;
    let runtime = Arc::new(common::runtime());
    // Two cases at once on one stack would measure each other, and only embedded stacks can exist more than once.
    let threads = match options.kind {
        StackKind::Embedded => limits::cores().min(arguments.test_threads.unwrap_or(usize::MAX)),
        _ => 1,
    };
    arguments.test_threads = Some(threads);
    let mut stacks = Vec::new();
    for _ in 0..threads {
        // On a thread that outlives it, since its processes end with that thread.
        let stack = runtime
            .block_on(Stack::start(&options, &mut |_| {}))
            .map_err(|error| common::no_stack(error).message().unwrap_or("").to_owned())?;
        stacks.push(stack);
    }
    let first = &stacks[0];
    let target = first.target.clone();
    let known = match expectations.applying(&first.name, &first.components) {
        Ok(known) => known,
        Err(error) => {
            stop(&runtime, stacks);
            return Err(format!("{error:#}"));
        }
    };
    let idle = Arc::new(Mutex::new(stacks));
    let slow = common::slow();
    let is_too_slow =
        |case: &Case| case.is_slow() && !slow && arguments.filter.as_deref() != Some(case.id);
    let trials = cases.iter().map(|case| {
        let case: &'static Case = case;
        let (runtime, idle) = (runtime.clone(), idle.clone());
        let options = common::run_options(&options);
        let known = known.get(case.id).cloned();
        let is_ignored = is_too_slow(case) || missing(case, &target).is_some();
        Trial::test(case.id, move || {
            let stack = lock(&idle).pop().ok_or("no stack is idle")?;
            let target = Arc::new(stack.target.clone());
            let outcome = runtime.block_on(run::run_case(case, &target, &options));
            lock(&idle).push(stack);
            let outcome = outcome.ok_or("the run was stopped")?;
            let judged = Judged::of(outcome.verdict, known.is_some());
            let expectation = known.map(|known| known.expectation(case.id, judged) + "\n");
            let expectation = expectation.unwrap_or_default();
            if judged.fails(case.level) || judged.leaves_undecided(case.level) {
                let described = common::describe(case.id, &outcome);
                return Err(format!("{expectation}{described}\n{}", case.requirement).into());
            }
            eprint!("{expectation}");
            as_planned(case, &options.budget.rates(case), &target, &outcome)
        })
        .with_kind(case.level.to_string())
        .with_ignored_flag(is_ignored)
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    let stacks = std::mem::take(&mut *lock(&idle));
    if conclusion.has_failed() {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("logs");
        for stack in &stacks {
            match runtime.block_on(stack.save_logs(&folder)) {
                Ok(true) => eprintln!("logs: {}", folder.display()),
                Ok(false) => {}
                Err(error) => eprintln!("logs: {error:#}"),
            }
        }
    }
    stop(&runtime, stacks);
    Ok(conclusion)
}

fn lock(stacks: &Mutex<Vec<Stack>>) -> MutexGuard<'_, Vec<Stack>> {
    stacks.lock().unwrap_or_else(PoisonError::into_inner)
}

fn stop(runtime: &Runtime, stacks: Vec<Stack>) {
    for stack in stacks {
        runtime.block_on(stack.stop());
    }
}

/// A case that passes has sent no more than it announced.
fn as_planned(
    case: &Case,
    rates: &Rates,
    target: &Target,
    outcome: &Outcome,
) -> Result<(), Failed> {
    let planned = case.effort(target, rates)?.requests_max;
    let sent = outcome.requests;
    match outcome.verdict != Verdict::Pass || sent <= planned {
        true => Ok(()),
        false => Err(format!("{sent} requests sent, {planned} planned").into()),
    }
}
