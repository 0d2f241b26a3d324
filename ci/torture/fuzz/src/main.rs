//! The fuzz targets: one function for each reader of bytes that others write. `FUZZ_TARGET` chooses one; without it, they are listed.
//!
//! A panic, a hang or growth of memory is a finding; what a reader returns is not looked at, but for sizes that must be bounded.
#![no_main]

mod answers;
mod files;
mod records;

use std::sync::LazyLock;

/// The targets by name.
const TARGETS: &[(&str, fn(&[u8]))] = &[
    ("http1", answers::http1),
    ("http2", answers::http2),
    ("sse", answers::sse),
    ("stream", answers::stream),
    ("document", answers::document),
    ("inflate", answers::inflate),
    ("metrics", answers::metrics),
    ("target", files::target),
    ("topology", files::topology),
    ("workload", files::workload),
    ("trace", files::trace),
    ("dataset", files::dataset),
    ("gate", files::gate),
    ("expect", files::expect),
    ("record", records::record),
    ("damaged-record", records::damaged),
    ("others-results", records::others),
];

static TARGET: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let wanted = std::env::var("FUZZ_TARGET").unwrap_or_default();
    let found = TARGETS.iter().find(|(name, _)| *name == wanted);
    found.map_or_else(
        || {
            TARGETS.iter().for_each(|(name, _)| println!("{name}"));
            std::process::exit(2);
        },
        |(_, target)| *target,
    )
});

libfuzzer_sys::fuzz_target!(init: { LazyLock::force(&TARGET); }, |data: &[u8]| TARGET(data));
