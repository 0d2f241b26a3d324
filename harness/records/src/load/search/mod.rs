//! The search for the highest rate at which every objective is met: its probes, and its record.

mod probes;
mod record;

pub use probes::{Probe, Search};
pub use record::{Found, Limit, SCHEMA};
