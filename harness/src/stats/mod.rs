//! Statistics: how many observations a question needs, and what they then say.

pub mod binomial;
pub mod interval;
pub mod rank;
pub mod sequential;
