//! Inputs (topology, target, workload, settings) and conclusions (verdict, findings, chart data).

pub mod api;
pub mod change;
pub mod component;
pub mod parts;
pub mod picture;
pub mod settings;
pub mod target;
pub mod topology;
pub mod verdict;
pub mod workload;
