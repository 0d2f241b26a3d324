//! The error rates of verdicts, as arguments shared by all commands that judge or plan.

use anyhow::{Result, ensure};
use clap::Args;

use poolproof_cases::context::Settings;

/// Error rates, and the smallest deviation that must be caught.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct RateArgs {
    /// Smallest deviation of a split that must be caught, in percentage points
    #[arg(
        help_heading = "Judging",
        long,
        value_name = "POINTS",
        default_value_t = 3.0
    )]
    pub(super) tolerance: f64,
    /// Probability that a whole run fails a correct stack; divided among the cases
    #[arg(help_heading = "Judging", long, value_name = "CHANCE", default_value_t = Settings::default().run_alpha)]
    alpha: f64,
    /// Probability that a case catches the smallest deviation that matters
    #[arg(help_heading = "Judging", long, value_name = "CHANCE", default_value_t = Settings::default().power)]
    power: f64,
    /// Slow cases: length of the silence that answers contain, in seconds
    #[arg(help_heading = "Judging", long, value_name = "SECONDS", default_value_t = Settings::default().slow_answer_s, value_parser = clap::value_parser!(u64).range(1..=3600))]
    slow_answer: u64,
}

impl RateArgs {
    /// Converts the arguments to settings. Checks their ranges.
    pub(super) fn settings(&self, seed: u64) -> Result<Settings> {
        let Self {
            tolerance,
            alpha,
            power,
            slow_answer,
        } = *self;
        ensure!(
            tolerance > 0.0 && tolerance < 50.0,
            "--tolerance {tolerance}: must be above 0 and below 50 percentage points"
        );
        ensure!(
            (1e-9..=0.2).contains(&alpha),
            "--alpha {alpha}: must be from 0.000000001 to 0.2, the probability that a run fails a correct stack"
        );
        ensure!(
            (0.6..=0.9999).contains(&power),
            "--power {power}: must be from 0.6 to 0.9999, the probability that a deviation that matters is caught"
        );
        Ok(Settings {
            seed,
            split_tolerance: tolerance / 100.0,
            run_alpha: alpha,
            power,
            slow_answer_s: slow_answer,
        })
    }
}
