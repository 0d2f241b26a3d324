//! What the user sets about how cases judge.

use serde::{Deserialize, Serialize};

/// What the user may change about how cases judge.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Seed of every random choice of the client.
    pub seed: u64,
    /// The smallest deviation of a split that must be caught, as a share (0.03 is three points).
    pub split_tolerance: f64,
    /// The chance with which a whole run may fail a correct stack. It is divided over the cases.
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
