//! Access to a Kubernetes cluster: its client, forwards to pods, waiting, charts, definitions, and the names of
//! deployed objects.

pub(crate) mod api;
mod cluster;
pub(crate) mod crds;
pub(crate) mod deployment;
pub(crate) mod diagnose;
mod forward;
mod forwards;
mod helm;
mod pods;
pub(crate) mod ready;
mod site;
mod to;

pub use cluster::Cluster;
pub(crate) use cluster::{list, selector, text};
pub(crate) use deployment::Deployment;
pub(crate) use forward::Forward;
pub use forwards::Forwards;
pub(crate) use forwards::Opened;
pub(crate) use helm::Helm;
pub(crate) use pods::Pods;
pub(crate) use site::Site;
pub(crate) use to::To;
