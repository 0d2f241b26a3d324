//! The search for the highest rate that meets every objective: its probes, and its record.

mod probes;
mod record;

pub use probes::{Probe, Search};
pub use record::{Found, RateSearch, SCHEMA};
