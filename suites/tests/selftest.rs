//! Every flaw against the cases that must catch it, on an embedded stack that has it: `poolproof selftest` as tests.

mod common;

use libtest_mimic::{Arguments, Failed, Trial};
use poolproof::{CATCHES, SUITES};
use poolproof_harness::case::Catch;
use poolproof_harness::selftest;

fn main() -> std::process::ExitCode {
    let arguments = Arguments::from_args();
    let mut trials = vec![Trial::test("the-table-has-no-holes", no_holes)];
    trials.extend(
        CATCHES
            .iter()
            .map(|catch| Trial::test(format!("caught/{}", catch.flaw), || caught(catch))),
    );
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn no_holes() -> Result<(), Failed> {
    let faults = selftest::faults_of_table(SUITES, CATCHES);
    match faults.is_empty() {
        true => Ok(()),
        false => Err(faults.join("\n").into()),
    }
}

fn caught(catch: &'static Catch) -> Result<(), Failed> {
    let program = env!("CARGO_BIN_EXE_poolproof").into();
    let stack = poolproof_harness::cli::stack_from_env(program)?;
    let options = selftest::Options {
        run: common::run_options(&stack),
        stack,
        repeat: 1,
        full: false,
    };
    let row = common::runtime().block_on(selftest::row(SUITES, Some(catch), &options, &mut |_| {}));
    let row = row.map_err(common::no_stack)?;
    let missed: Vec<String> = row
        .cells
        .iter()
        .flat_map(|cell| {
            cell.deviations()
                .map(move |it| common::describe(cell.case, it))
        })
        .collect();
    match missed.is_empty() {
        true => Ok(()),
        false => Err(missed.join("\n").into()),
    }
}
