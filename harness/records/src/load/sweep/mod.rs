//! The sweep of rates from idle to beyond saturation: its steps, its knee, and its record.

mod knee;
mod record;
mod step;

pub use knee::{Knee, METHOD};
pub use record::{RateSweep, SCHEMA};
pub use step::{Kind, Step};
