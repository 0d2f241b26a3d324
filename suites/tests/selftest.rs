//! Every flaw against the cases that must catch it, on an embedded stack that has it: `poolproof selftest` as tests.
//! A flaw that only slow cases catch is ignored unless `POOLPROOF_SLOW` is set, or its test is named in full.

mod common;

use libtest_mimic::{Arguments, Failed, Trial};
use poolproof::SUITES;
use poolproof_cases::case::{Case, Catch, catches};
use poolproof_cases::selftest;
use poolproof_cli::stacks_of_selftest;
use poolproof_records::limits;

fn main() -> std::process::ExitCode {
    let mut arguments = Arguments::from_args();
    if !cfg!(debug_assertions) {
        // As `poolproof selftest`: a stack mostly waits. Without optimisation it does not.
        arguments.test_threads.get_or_insert(3 * limits::cores());
    }
    let mut trials = vec![Trial::test("the-table-has-no-holes", no_holes)];
    let slow = common::slow();
    trials.extend(catches(SUITES).map(|catch| {
        let name = format!("caught/{}", catch.flaw);
        let is_wanted = slow || !catch.is_slow(SUITES) || arguments.filter.as_ref() == Some(&name);
        Trial::test(name, move || caught(catch)).with_ignored_flag(!is_wanted)
    }));
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
        slow: common::slow(),
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
