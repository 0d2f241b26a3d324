//! Every flaw against the cases that must catch it, on an embedded stack that has it: `poolproof selftest` as tests.

mod common;

use libtest_mimic::{Arguments, Failed, Trial};
use poolproof::SUITES;
use poolproof_cases::case::{Case, Catch, catches};
use poolproof_cases::selftest;
use poolproof_cli::stacks_of_selftest;

fn main() -> std::process::ExitCode {
    let arguments = Arguments::from_args();
    let mut trials = vec![Trial::test("the-table-has-no-holes", no_holes)];
    trials.extend(
        catches(SUITES)
            .map(|catch| Trial::test(format!("caught/{}", catch.flaw), move || caught(catch))),
    );
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn no_holes() -> Result<(), Failed> {
    let faults = selftest::faults_of_table(SUITES);
    match faults.is_empty() {
        true => Ok(()),
        false => Err(faults.join("\n").into()),
    }
}

fn caught(catch: &'static Catch) -> Result<(), Failed> {
    let program = env!("CARGO_BIN_EXE_poolproof").into();
    let stack = poolproof_cli::stack_from_env(program)?;
    let options = selftest::Options {
        run: common::run_options(&stack),
        repeat: 1,
        full: false,
    };
    let start = stacks_of_selftest(stack);
    let mut watch = |_: &Case| {};
    let row = selftest::row(SUITES, Some(catch), &options, &start, &mut watch);
    let row = common::runtime().block_on(row);
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
