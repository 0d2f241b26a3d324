//! The interface of model servers.

use std::net::SocketAddr;

use anyhow::Result;
use k8s_openapi::api::core::v1::Container;

use crate::kubernetes::Deployment;
use crate::process::Launch;
use crate::programs::{Program, Programs};
use poolproof_model::parts::StackKind;
use poolproof_model::topology::{Model, Topology};

/// A model server: its processes, and its container in a cluster.
pub(crate) trait ModelServerPart: Sync {
    /// Whether it is available on this kind of stack.
    fn runs_on(&self, kind: StackKind) -> bool {
        !matches!(kind, StackKind::Embedded | StackKind::Url)
    }

    /// Whether it can be moved between the loopback addresses of this machine: it listens at its own address only.
    fn moves(&self) -> bool {
        false
    }

    /// The path of its control API, if it has one.
    fn control_path(&self) -> Option<&'static str> {
        None
    }

    /// Its programs. The last one is the part itself, whose build can be chosen.
    fn programs(&self) -> &'static [Program];

    /// How to start the process of an endpoint.
    fn launch(
        &self,
        programs: &Programs,
        endpoint: (&str, &Model, SocketAddr),
        seed: u64,
    ) -> Result<Launch>;

    /// Its component.
    fn version(&self, programs: &Programs) -> Result<String>;

    /// The images that it needs in a cluster, by their names in `kind/versions.toml`.
    fn images(&self) -> &'static [&'static str];

    /// Fails if it cannot serve a topology in a cluster.
    fn check(&self, _topology: &Topology) -> Result<()> {
        Ok(())
    }

    /// Sets the image, the arguments and the other fields of an endpoint's container.
    fn fill(&self, container: &mut Container, deployment: &Deployment, model: &Model)
    -> Result<()>;
}
