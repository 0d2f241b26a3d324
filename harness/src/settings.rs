//! What the user sets about how cases judge.

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use crate::target::Target;

/// What the user may change about how cases judge.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Settings {
    /// Seed of every random choice of the client.
    pub seed: u64,
    /// The smallest deviation of a split that must be caught, as a share (0.03 is three points).
    pub split_tolerance: f64,
    /// The chance with which a whole run may fail a correct stack. Cases share it out: see [`Settings::alpha`].
    pub run_alpha: f64,
    /// The chance with which each statistical case catches the smallest deviation that matters.
    pub power: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            seed: 1,
            split_tolerance: 0.03,
            run_alpha: 0.001,
            power: 0.99,
        }
    }
}

impl Settings {
    /// Fails if a target cannot be judged by these.
    pub fn check(&self, target: &Target) -> Result<()> {
        let lightest = target.canary().and_then(|model| {
            let pool = model.weighted_pools().min_by_key(|pool| pool.weight)?;
            let share = f64::from(pool.weight) / f64::from(model.total_weight());
            Some((pool, share))
        });
        if let Some((pool, share)) = lightest {
            ensure!(
                self.split_tolerance < share,
                "--tolerance {}: must be below the smallest share that is judged, the {} % of pool {}",
                self.split_tolerance * 100.0,
                share * 100.0,
                pool.name
            );
        }
        Ok(())
    }

    /// The part of the run's alpha that a statistical Must case may spend. The parts are fixed, so that what a case says depends on
    /// no other one; a run takes at most three parts of [`Settings::split_alpha`] and fourteen of these, together less than all of
    /// it (Bonferroni's inequality): cases that count what must never happen take a billionth each.
    pub fn alpha(&self) -> f64 {
        self.run_alpha / 21.0
    }

    /// The part of a case about splits, whose samples are by far the largest.
    pub fn split_alpha(&self) -> f64 {
        self.run_alpha / 10.0
    }
}
