//! Statistics: how many observations a question needs, and what a sample then shows.

pub mod binomial;
pub mod change_point;
pub mod clusters;
pub mod interval;
pub mod rank;
pub mod sequential;
mod statistic;

pub use statistic::Statistic;
