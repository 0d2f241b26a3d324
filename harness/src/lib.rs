//! Everything of poolproof that is not a case: stacks, client, evidence, statistics, runs and reports.

pub mod ballast;
pub mod case;
pub mod change;
pub mod cli;
pub mod client;
pub mod component;
pub mod context;
pub mod effort;
pub mod evidence;
pub mod expect;
pub mod folders;
pub mod inside;
pub mod limits;
pub mod load;
pub mod parts;
pub mod picture;
pub mod report;
pub mod round_trip;
pub mod run;
pub mod selftest;
pub mod stack;
pub mod stats;
pub mod target;
mod tls;
pub mod topology;
pub mod verdict;
pub mod versions;
