//! What is asked for and what is concluded, as plain values.
//!
//! Asked for: a topology (models, pools, weights, endpoints, objectives), a workload, the parts of a stack, settings. Concluded: verdicts,
//! findings and chart data. A target lies between the two: the addresses of a running stack, and what is known about it.
//!
//! Values are read from TOML. Unknown keys are refused, and `check` refuses values that cannot work, with the name of the key.
//!
//! This crate must not know tokio, clap, Kubernetes or the stand-ins: it opens no socket and starts nothing. All other crates of the
//! harness, except the statistics, build on it.
//!
//! Start with [`topology`] and [`target`], then [`verdict`]. [`workload`] describes load runs.
//!
//! ```
//! use poolproof_model::target::Target;
//! use poolproof_model::topology::Topology;
//!
//! # fn main() -> anyhow::Result<()> {
//! let topology: Topology = toml::from_str(
//!     r#"
//!     name = "two-versions"
//!     [[models]]
//!     name = "model-a"
//!     [[models.pools]]
//!     name = "stable"
//!     weight = 90
//!     endpoints = 2
//!     [[models.pools]]
//!     name = "canary"
//!     weight = 10
//!     endpoints = 1
//!     "#,
//! )?;
//! let target = Target::planned(&topology)?;
//! assert_eq!(target.endpoints().count(), 3);
//! assert_eq!(target.canary().map(|model| model.total_weight()), Some(100));
//! # Ok(())
//! # }
//! ```

pub mod api;
pub mod build;
pub mod change;
pub mod component;
pub mod coverage;
pub mod parts;
pub mod picture;
pub mod remark;
pub mod routed;
pub mod server_metric;
pub mod settings;
pub mod status;
pub mod target;
mod target_file;
pub mod topology;
pub mod verdict;
pub mod workload;
