//! What the property tests of this crate share.

use proptest::test_runner::{Config, RngSeed};

/// The same inputs in every run, so that a failure can be repeated; no file is written.
pub(crate) fn config() -> Config {
    Config {
        cases: 256,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(1),
        ..Config::default()
    }
}
