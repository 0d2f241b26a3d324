//! User settings for how cases judge.

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use crate::target::Target;

/// The settings that control how cases judge.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// The seed of all random choices of the client.
    pub seed: u64,
    /// The smallest deviation of a split that must be caught, as a share (0.03 is three points).
    pub split_tolerance: f64,
    /// The chance that a whole run fails a correct stack. It is divided over the cases.
    pub run_alpha: f64,
    /// The chance that each statistical case catches the smallest deviation that matters.
    pub power: f64,
    /// The length of the silence in the answers of slow cases, in seconds.
    pub slow_answer_s: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            seed: 1,
            split_tolerance: 0.03,
            run_alpha: 0.001,
            power: 0.99,
            slow_answer_s: 20,
        }
    }
}

impl Settings {
    /// Fails if the smallest deviation that must be caught is not below every share of the target that is judged.
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
}
