//! Reports: the record of a run, and its renderings.

pub mod junit;
pub mod record;
pub mod table;
