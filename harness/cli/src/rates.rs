//! The arguments that say how sure verdicts are to be, shared by all commands that judge or plan.

use anyhow::{Result, ensure};
use clap::Args;

use poolproof_cases::context::Settings;

/// Error rates, and the deviation that matters.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct RateArgs {
    /// The smallest deviation of a split that must be caught, in percentage points
    #[arg(
        help_heading = "Judging",
        long,
        value_name = "POINTS",
        default_value_t = 3.0
    )]
    pub(super) tolerance: f64,
    /// The chance with which a whole run may fail a correct stack; cases share it out
    #[arg(help_heading = "Judging", long, value_name = "CHANCE", default_value_t = Settings::default().run_alpha)]
    alpha: f64,
    /// The chance with which a case catches the smallest deviation that matters
    #[arg(help_heading = "Judging", long, value_name = "CHANCE", default_value_t = Settings::default().power)]
    power: f64,
}

impl RateArgs {
    /// The settings that they mean.
    pub(super) fn settings(&self, seed: u64) -> Result<Settings> {
        let Self {
            tolerance,
            alpha,
            power,
        } = *self;
        ensure!(
            tolerance > 0.0 && tolerance < 50.0,
            "--tolerance {tolerance}: must be above 0 and below 50 percentage points"
        );
        ensure!(
            (1e-9..=0.2).contains(&alpha),
            "--alpha {alpha}: must be from 0.000000001 to 0.2, the chance with which a run may fail a correct stack"
        );
        ensure!(
            (0.6..=0.9999).contains(&power),
            "--power {power}: must be from 0.6 to 0.9999, the chance with which a deviation that matters is caught"
        );
        Ok(Settings {
            seed,
            split_tolerance: tolerance / 100.0,
            run_alpha: alpha,
            power,
        })
    }
}
