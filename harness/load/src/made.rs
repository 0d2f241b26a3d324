//! Workloads for tests.

#![allow(clippy::unwrap_used)]

use poolproof_model::workload::Workload;

/// A workload with these arrivals, as TOML, for a minute.
pub(crate) fn workload(arrival: &str) -> Workload {
    toml::from_str(&format!(
        "shows = 'x'\nduration_s = 60\nwarm_up_s = 5\narrival = {arrival}\n\
         [[mix]]\nclass = 'c'\ninput_tokens = 1\noutput_tokens = 1\n"
    ))
    .unwrap()
}
