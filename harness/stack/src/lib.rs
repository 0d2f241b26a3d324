//! Stacks: start one or attach to one, return its [`Target`](poolproof_model::target::Target), and stop it again.
//!
//! `places` start stacks. `parts` configure each gateway, endpoint picker and model server. Both use the modules beside
//! them (processes, programs, artifacts, the Kubernetes client).

pub mod artifacts;
mod changes;
mod cluster_view;
pub mod containers;
mod hash;
pub mod kubernetes;
mod options;
mod own_image;
pub mod parts;
mod place;
pub mod places;
pub mod platform;
mod ports;
mod process;
mod programs;
mod progress;
mod running;
pub mod tools;
pub mod versions;
mod worker;
pub mod workers;

pub use cluster_view::ClusterView;
pub use options::{ClusterOptions, KindOptions, Options, ProcessOptions};
pub use process::{exec_child, is_poolproof};
pub use progress::{Progress, StartError};
pub use running::Stack;
