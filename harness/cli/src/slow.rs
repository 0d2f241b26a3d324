//! Slow cases, as an argument shared by the commands that select cases, and in the environment.

use anyhow::Result;
use clap::Parser;
use clap::builder::FalseyValueParser;

/// Whether slow cases are included.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct SlowArgs {
    /// Include slow cases, which take from 20 seconds to minutes each; a case that is named by its full id needs no --slow
    #[arg(
        help_heading = "Judging",
        long,
        env = "POOLPROOF_SLOW",
        value_parser = FalseyValueParser::new()
    )]
    pub(super) slow: bool,
}

/// Whether `POOLPROOF_SLOW` asks for slow cases: set, and not to `0`, `false`, `no` or `off`.
pub fn from_env() -> Result<bool> {
    #[derive(Parser)]
    struct Environment {
        #[command(flatten)]
        slow: SlowArgs,
    }
    Ok(Environment::try_parse_from(["poolproof"])?.slow.slow)
}
