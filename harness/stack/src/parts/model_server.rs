//! What a stack asks of a model server, whichever it is.

use std::net::SocketAddr;

use anyhow::Result;
use serde_json::Value;

use crate::kubernetes::Deployment;
use crate::process::Launch;
use crate::programs::{Program, Programs};
use poolproof_model::parts::StackKind;
use poolproof_model::topology::{Model, Topology};

/// A model server: how its processes are started, and what its container is in a cluster.
pub(crate) trait ModelServerPart: Sync {
    /// Whether stacks of this kind can have it.
    fn runs_on(&self, kind: StackKind) -> bool {
        !matches!(kind, StackKind::Embedded | StackKind::Url)
    }

    /// The path of its control API, if it has one.
    fn control_path(&self) -> Option<&'static str> {
        None
    }

    /// The programs that it consists of.
    fn programs(&self) -> &'static [Program];

    /// What starts the process of an endpoint.
    fn launch(
        &self,
        programs: &Programs,
        endpoint: (&str, &Model, SocketAddr),
        seed: u64,
    ) -> Result<Launch>;

    /// What it is.
    fn version(&self, programs: &Programs) -> Result<String>;

    /// The images that it needs in a cluster, by their names in `kind/versions.toml`.
    fn images(&self) -> &'static [&'static str];

    /// Fails if it cannot serve a topology in a cluster.
    fn check(&self, _topology: &Topology) -> Result<()> {
        Ok(())
    }

    /// Puts its image, its arguments and what else it needs into the container of an endpoint.
    fn fill(&self, container: &mut Value, deployment: &Deployment, model: &Model) -> Result<()>;
}
