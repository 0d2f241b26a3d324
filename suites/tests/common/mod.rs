//! What both test programs need: a stack and a case run on it, in order, one at a time.

use std::sync::Arc;

use libtest_mimic::Failed;
use poolproof_harness::case::Case;
use poolproof_harness::context::{Settings, Timeouts};
use poolproof_harness::run::{self, Options};
use poolproof_harness::stack::{self, Stack, StartError};
use poolproof_harness::verdict::Outcome;
use tokio::runtime::Runtime;

pub fn runtime() -> Runtime {
    poolproof_harness::limits::raise_open_files();
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime can be built")
}

/// Starts a stack. Called on a thread that outlives it, since its processes end with that thread.
pub fn start(runtime: &Runtime, options: &stack::Options) -> Result<Stack, Failed> {
    let started = runtime.block_on(Stack::start(options, &mut |_| {}));
    started.map_err(|error| match error {
        StartError::Config(error) | StartError::Unavailable(error) => {
            Failed::from(format!("the stack could not be had: {error:#}"))
        }
    })
}

pub fn run_case(runtime: &Runtime, stack: &Stack, seed: u64, case: &'static Case) -> Outcome {
    let options = Options {
        settings: Settings {
            seed,
            ..Settings::default()
        },
        timeouts: Timeouts::default(),
        fail_fast: false,
        stop: Default::default(),
    };
    let target = Arc::new(stack.target.clone());
    let outcome = runtime.block_on(run::run_case(case, &target, &options));
    outcome.expect("nobody stops the run")
}

/// What a test says of an outcome that is not what it should be.
pub fn describe(case: &Case, outcome: &Outcome) -> String {
    let mut text = format!(
        "{}: {}\n{}",
        outcome.verdict, outcome.summary, case.requirement
    );
    for mismatch in &outcome.mismatches {
        text.push_str(&format!("\n  {mismatch}"));
    }
    text
}
