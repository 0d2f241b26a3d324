//! What the property tests of the harness share. No crate depends on it except for its tests.

use proptest::test_runner::{Config, RngSeed};

/// The same inputs in every run, so that a failure can be repeated; no file is written.
pub fn config() -> Config {
    Config {
        cases: 256,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(1),
        ..Config::default()
    }
}

/// Cuts bytes into pieces of these sizes, used in turn until none is left.
pub fn pieces<'a>(mut bytes: &'a [u8], sizes: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    sizes.iter().cycle().map_while(move |size| {
        let (piece, rest) = bytes.split_at((*size).min(bytes.len()));
        bytes = rest;
        (!piece.is_empty()).then_some(piece)
    })
}
