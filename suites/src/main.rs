//! The `poolproof` program.

use std::process::ExitCode;

/// The version, with the commit and the date of a release build.
const VERSION: &str = env!("POOLPROOF_VERSION");

fn main() -> ExitCode {
    poolproof_cli::main(poolproof::APP, VERSION)
}
