//! The `poolproof` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    poolproof_harness::cli::main(poolproof::APP)
}
