//! The `poolproof` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    poolproof_cli::main(poolproof::APP)
}
