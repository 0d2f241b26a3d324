//! The interface of gateways.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Result, bail};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use poolproof_fixtures::flaw::Flaw;
use serde_json::Value;

use crate::kubernetes::{Cluster, Deployment, Helm, Site};
use crate::ports::Ports;
use crate::process::{Process, ProcessGroup};
use crate::programs::{Program, Programs};
use poolproof_model::parts::StackKind;
use poolproof_model::topology::Topology;

/// A gateway: its properties, its processes, and its objects in a cluster.
pub(crate) trait GatewayPart: Sync {
    /// Whether it is available on this kind of stack.
    fn runs_on(&self, kind: StackKind) -> bool {
        !matches!(kind, StackKind::Embedded | StackKind::Url)
    }

    /// The maximum size of a request body in bytes; `None`: no limit.
    fn body_limit_bytes(&self) -> Option<usize>;

    /// Whether its failure mode can be changed while it runs in such a stack.
    fn changes_failure_mode(&self, _kind: StackKind) -> bool {
        false
    }

    /// Its programs. The last one is the part itself, whose build can be chosen.
    fn programs(&self) -> &'static [Program];

    /// Starts its processes, and waits until they serve.
    fn start<'a>(&'a self, start: Start<'a>) -> BoxFuture<'a, Result<Running>>;

    /// The images that it needs in a cluster, by their names in `kind/versions.toml`.
    fn images(&self) -> &'static [&'static str];

    /// The charts that it needs in a cluster, by their names in `kind/versions.toml`.
    fn charts(&self) -> &'static [&'static str] {
        &[]
    }

    /// The labels of its pod, `KEY=VALUE,...`, and the pod's port for clients.
    fn pod(&self) -> (String, u16);

    /// Whether the pools of a model must share a namespace of a cluster.
    fn models_share_namespaces(&self) -> bool {
        false
    }

    /// Fails if it cannot serve a topology in a cluster.
    fn check(&self, _topology: &Topology) -> Result<()> {
        Ok(())
    }

    /// Its objects and its routes.
    fn objects(&self, deployment: &Deployment) -> Result<Vec<Value>>;

    /// The GatewayClass of Gateways, if a controller runs them.
    fn class(&self) -> Option<&'static str> {
        None
    }

    /// The namespace of its controller, if it has one.
    fn controller_namespace(&self) -> Option<&'static str> {
        None
    }

    /// The values of its controller's chart, if it has one, for the committed manifests.
    #[cfg(test)]
    fn controller_values(&self) -> Option<Value> {
        None
    }

    /// Installs its controller if the cluster lacks it. Returns what was done; `None` if nothing was.
    fn install<'a>(&'a self, _site: &'a Site<'_>) -> BoxFuture<'a, Result<Option<&'static str>>> {
        ready(Ok(None)).boxed()
    }

    /// Removes what [`GatewayPart::install`] added to a cluster, unless another stack needs it.
    fn uninstall<'a>(
        &'a self,
        _cluster: &'a Cluster,
        _helm: &'a Helm<'_>,
    ) -> BoxFuture<'a, Result<()>> {
        ready(Ok(())).boxed()
    }

    /// Waits until its objects are accepted. Its pod is waited for separately.
    fn accepted<'a>(
        &'a self,
        _cluster: &'a Cluster,
        _deployment: &'a Deployment,
    ) -> BoxFuture<'a, Result<()>> {
        ready(Ok(())).boxed()
    }

    /// Sets the weights of a model's pools in a cluster. Waits until they are applied, if the gateway reports that.
    fn weigh<'a>(
        &'a self,
        cluster: &'a Cluster,
        deployment: &'a Deployment,
        now: &'a Topology,
        model: &'a str,
    ) -> BoxFuture<'a, Result<()>>;
}

/// What a gateway's processes need at their start.
pub(crate) struct Start<'a> {
    pub(crate) programs: &'a Programs,
    pub(crate) group: &'a ProcessGroup,
    pub(crate) ports: &'a mut Ports,
    pub(crate) http: &'a reqwest::Client,
    /// The Kubernetes API of the stack, and the namespace of its models.
    pub(crate) kubeconfig: &'a Path,
    pub(crate) models_namespace: &'a str,
    pub(crate) topology: &'a Topology,
    /// The endpoint pickers, in the order of the topology's pools.
    pub(crate) pickers: &'a [SocketAddr],
    pub(crate) flaw: Option<Flaw>,
    pub(crate) seed: u64,
}

/// A gateway with running processes.
pub(crate) struct Running {
    /// Its processes, in the order in which to stop them.
    pub(crate) processes: Vec<Process>,
    pub(crate) address: SocketAddr,
    /// Changes it while it runs.
    pub(crate) control: Box<dyn Control>,
    /// Its components, by role.
    pub(crate) versions: Vec<(&'static str, String)>,
}

/// Changes a gateway while its processes run.
pub(crate) trait Control: Send + Sync {
    /// Sets its weights to those of a topology.
    fn weigh<'a>(
        &'a self,
        topology: &'a Topology,
        flaw: Option<Flaw>,
        http: &'a reqwest::Client,
    ) -> BoxFuture<'a, Result<()>>;

    /// Makes a pool fail open to these endpoints, or fail closed.
    fn fail<'a>(
        &'a self,
        _pool: &'a str,
        _open_to: Option<&'a [SocketAddr]>,
        _http: &'a reqwest::Client,
    ) -> BoxFuture<'a, Result<()>> {
        async { bail!("the failure mode of pools cannot be changed here") }.boxed()
    }
}
