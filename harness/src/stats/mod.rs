//! Statistics: how many observations a question needs, and what they then say.

pub mod binomial;
pub mod rank;

/// The chance with which one statistical decision may fail a correct system, where the case states no other. A run of
/// all cases takes fewer than ten such decisions beside the two splits at [`SPLIT_ALPHA`]: together below 1 in 1,000.
pub const ALPHA: f64 = 5e-5;

/// The chance with which a split that is what the weights say may be failed.
pub const SPLIT_ALPHA: f64 = 1e-4;

/// The chance with which the smallest deviation that matters is caught.
pub const POWER: f64 = 0.99;
