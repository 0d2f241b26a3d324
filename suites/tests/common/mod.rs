//! What both test programs need.

use libtest_mimic::Failed;
use poolproof_cases::budget::Budget;
use poolproof_cases::context::Settings;
use poolproof_cases::run::Options;
use poolproof_model::verdict::Outcome;
use poolproof_stack::{self as stack, StartError};
use tokio::runtime::Runtime;

pub fn runtime() -> Runtime {
    poolproof_records::limits::raise_open_files();
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime can be built")
}

/// Whether slow cases run; wrong values of `POOLPROOF_SLOW` are errors of the command line.
pub fn slow() -> bool {
    poolproof_cli::slow_from_env().expect("POOLPROOF_SLOW can be read")
}

pub fn no_stack(error: StartError) -> Failed {
    let (StartError::Config(error) | StartError::Unavailable(error)) = error;
    Failed::from(format!("the stack could not be had: {error:#}"))
}

/// How tests run cases.
pub fn run_options(stack: &stack::Options) -> Options {
    let settings = Settings {
        seed: stack.seed,
        ..Settings::default()
    };
    Options {
        budget: Budget::new(poolproof::SUITES, settings),
        timeouts: poolproof_cli::timeouts(stack.kind),
        fail_fast: false,
        known: Default::default(),
        stop: Default::default(),
        inside: None,
    }
}

/// What a test says of an outcome that is not what it should be.
pub fn describe(case: &str, outcome: &Outcome) -> String {
    let mut text = format!("{case}: {}: {}", outcome.verdict, outcome.summary);
    for mismatch in &outcome.mismatches {
        text.push_str(&format!("\n  {mismatch}"));
    }
    text
}
