//! What stacks need of a Kubernetes cluster: its client, ways to its pods, waiting, charts and definitions, and the names of what is
//! deployed.

pub(crate) mod api;
mod cluster;
pub(crate) mod crds;
pub(crate) mod deployment;
pub(crate) mod diagnose;
mod forward;
mod helm;
mod pods;
pub(crate) mod ready;
mod site;
mod to;
mod ways;

pub use cluster::Cluster;
pub(crate) use cluster::{selector, text};
pub(crate) use deployment::Deployment;
pub(crate) use forward::Forward;
pub(crate) use helm::Helm;
pub(crate) use pods::Pods;
pub(crate) use site::Site;
pub(crate) use to::To;
pub(crate) use ways::Opened;
pub use ways::Ways;
