//! Everything of poolproof that is not a case: stacks, client, evidence, statistics, runs and reports.

pub mod stack;
pub mod target;
pub mod topology;
