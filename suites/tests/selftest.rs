//! Every flaw against the cases that must catch it, on an embedded stack that has it.

mod common;

use std::collections::BTreeSet;

use libtest_mimic::{Arguments, Failed, Trial};
use poolproof::{CATCHES, SUITES};
use poolproof_fixtures::flaw::Flaw;
use poolproof_harness::case::{Case, Catch};
use poolproof_harness::verdict::Verdict;

fn main() -> std::process::ExitCode {
    let mut arguments = Arguments::from_args();
    // Each has a stack of its own, but they share the processors.
    arguments.test_threads = Some(1);
    let mut trials = vec![
        Trial::test("every-flaw-is-caught", every_flaw_is_caught),
        Trial::test("every-case-can-fail", every_case_can_fail),
    ];
    trials.extend(
        CATCHES
            .iter()
            .map(|catch| Trial::test(format!("caught/{}", catch.flaw), || caught(catch))),
    );
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn every_flaw_is_caught() -> Result<(), Failed> {
    let caught: BTreeSet<&str> = CATCHES.iter().map(|catch| catch.flaw.name()).collect();
    let all: BTreeSet<&str> = Flaw::ALL.iter().map(|flaw| flaw.name()).collect();
    match caught == all && CATCHES.iter().all(|catch| !catch.cases.is_empty()) {
        true => Ok(()),
        false => Err(format!("nothing catches {:?}", all.difference(&caught)).into()),
    }
}

fn every_case_can_fail() -> Result<(), Failed> {
    let failing: BTreeSet<&str> = CATCHES.iter().flat_map(|it| it.cases).copied().collect();
    let all: BTreeSet<&str> = cases().map(|case| case.id).collect();
    match failing == all {
        true => Ok(()),
        false => {
            let odd: Vec<_> = failing.symmetric_difference(&all).collect();
            Err(format!("no flaw fails, or there are no such cases: {odd:?}").into())
        }
    }
}

fn caught(catch: &'static Catch) -> Result<(), Failed> {
    let program = env!("CARGO_BIN_EXE_poolproof").into();
    let mut options = poolproof_harness::cli::stack_from_env(program)?;
    options.kind = poolproof_harness::stack::StackKind::Embedded;
    options.flaw = Some(catch.flaw);
    let runtime = common::runtime();
    let stack = common::start(&runtime, &options)?;
    let mut missed = Vec::new();
    for case in cases().filter(|case| catch.cases.contains(&case.id)) {
        let outcome = common::run_case(&runtime, &stack, options.seed, case);
        if outcome.verdict != Verdict::Fail {
            missed.push(format!("{}: {}", case.id, common::describe(case, &outcome)));
        }
    }
    runtime.block_on(stack.stop());
    match missed.is_empty() {
        true => Ok(()),
        false => Err(missed.join("\n").into()),
    }
}

fn cases() -> impl Iterator<Item = &'static Case> {
    SUITES.iter().flat_map(|suite| suite.cases)
}
