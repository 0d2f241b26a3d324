//! Statistics: how large a sample a question needs, and what the sample shows. Numbers in, numbers out.
//!
//! Tests are exact, not approximate: a sample of twenty is judged as soundly as one of ten thousand. Each test is planned before anything
//! is measured, from the deviation that matters, alpha (the chance of failing a correct system) and power (the chance of catching the
//! deviation). Each decision is a [`Statistic`], which holds every number needed to check it.
//!
//! This crate uses no other crate of the workspace. It does not know what is measured, and does no input or output.
//!
//! Start with [`binomial`] (shares) and [`sequential`] (the same, with looks before the end). [`rank`] and [`interval`] compare samples,
//! [`clusters`] handles observations that depend on each other, and [`change_point`] finds a shift in a series.
//!
//! ```
//! use poolproof_stats::binomial::{Plan, Question};
//!
//! # fn main() -> anyhow::Result<()> {
//! // Does the canary get 10 % of the requests? A share that is off by 5 points must be caught.
//! let question = Question::Equal { null: 0.10, deviation: 0.05 };
//! let plan = Plan::new(question, 0.001, 0.99)?;
//! assert!(plan.power >= 0.99);
//!
//! let hits = plan.n / 10;
//! assert!(plan.decide("requests to the canary", hits, plan.n).holds());
//! assert!(!plan.decide("requests to the canary", 2 * hits, plan.n).holds());
//! # Ok(())
//! # }
//! ```

pub mod binomial;
pub mod change_point;
pub mod clusters;
pub mod interval;
pub mod rank;
pub mod sequential;
mod statistic;

pub use statistic::Statistic;
