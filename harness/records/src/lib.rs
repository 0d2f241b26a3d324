//! Records of measurements. One file format (JSON whose `schema` field determines the kind), one reader, one atomic
//! save.

pub mod environment;
pub mod file;
pub mod folders;
pub mod limits;
pub mod load;
pub mod round_trip;
pub mod run;
#[cfg(any(test, feature = "samples"))]
pub mod samples;
