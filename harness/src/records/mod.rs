//! Records: what was measured, as it is saved. One file format (JSON whose `schema` field names the kind), one reader, one atomic save.

pub mod environment;
pub mod file;
pub mod load;
pub mod round_trip;
pub mod run;
#[cfg(test)]
pub mod samples;
