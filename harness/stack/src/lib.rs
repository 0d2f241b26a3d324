//! Stacks: starts one, or attaches to one, returns its [`Target`](poolproof_model::target::Target), and takes it down again.
//!
//! [`places`] are where a stack runs: embedded in this process, local processes, containers, a kind cluster, an existing cluster, or a URL.
//! [`parts`] are what it consists of: each gateway, endpoint picker and model server in a folder of its own. Both use the modules next to
//! them: processes, containers, artifacts and the Kubernetes client.
//!
//! Whatever is started is stopped: on Ctrl-C, on panic, and when a start fails. The user's kubeconfig and current context are never changed.
//!
//! This crate must not know clap or the suites. No other crate looks inside a stack: they get a target, and see sockets only.
//!
//! Start with [`Stack::start`], then one place and one part.
//!
//! ```no_run
//! use poolproof_stack::{Options, Stack, StartError};
//!
//! async fn with_stack(options: &Options) -> Result<(), StartError> {
//!     let stack = Stack::start(options, &mut |step| println!("{step}")).await?;
//!     println!("{} listens at {}", stack.name, stack.target.url);
//!     stack.stop().await;
//!     Ok(())
//! }
//! ```

pub mod artifacts;
mod changes;
mod cluster_view;
pub mod containers;
mod hash;
mod image_archive;
pub mod kubernetes;
mod options;
pub mod own_image;
pub mod parts;
mod place;
pub mod places;
pub mod platform;
mod ports;
mod process;
mod programs;
mod progress;
mod running;
mod statuses;
pub mod tools;
pub mod versions;
mod worker;
pub mod workers;

pub use cluster_view::ClusterView;
pub use options::{ClusterOptions, KindOptions, Options, Private, ProcessOptions};
pub use places::embedded::OPEN_FILES as EMBEDDED_OPEN_FILES;
pub use places::processes::{PICKER_MODEL, PickerAlone};
pub use process::{exec_child, is_poolproof, kill_private_gateways};
pub use progress::{Progress, StartError};
pub use running::{Stack, WARNING};
