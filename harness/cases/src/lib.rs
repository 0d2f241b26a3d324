//! The framework of the suites: cases, needs, contexts, effort, ballast, runs, self-test.

pub mod ballast;
pub mod budget;
pub mod case;
pub mod context;
pub mod effort;
pub mod expect;
pub mod inside;
pub mod need;
pub mod plan;
pub mod round_trip;
pub mod run;
pub mod select;
pub mod selftest;
