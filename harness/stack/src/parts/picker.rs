//! The interface of endpoint pickers.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Result;
use poolproof_fixtures::flaw::Flaw;
use serde_json::Value;

use super::gie;
use crate::kubernetes::Deployment;
use crate::ports::Ports;
use crate::process::{Launch, ProcessGroup};
use crate::programs::{Program, Programs};
use poolproof_model::change::Kind;
use poolproof_model::parts::StackKind;
use poolproof_model::target::GIE_OBJECTIVE_HEADER;
use poolproof_model::topology::{Pool, Topology};

/// An endpoint picker: its processes, and its objects in a cluster.
pub(crate) trait PickerPart: Sync {
    /// Whether it is available on this kind of stack.
    fn runs_on(&self, kind: StackKind) -> bool {
        !matches!(kind, StackKind::Embedded | StackKind::Url)
    }

    /// The changes of watched objects that it follows while it runs.
    fn follows(&self) -> &'static [Kind];

    /// Whether it can keep a client at its endpoint by a session token.
    fn keeps_sessions(&self) -> bool {
        false
    }

    /// Whether it looks at load, prefixes and priorities, and exports metrics of its picks and endpoints.
    fn schedules(&self) -> bool {
        true
    }

    /// The header that names the InferenceObjective of a request.
    fn objective_header(&self) -> &'static str {
        GIE_OBJECTIVE_HEADER
    }

    /// The API group of its InferenceObjectives and InferenceModelRewrites.
    fn group(&self) -> &'static str {
        gie::GROUP
    }

    /// Its programs. The last one is the part itself, whose build can be chosen.
    fn programs(&self) -> &[Program];

    /// How to start the process of a pool's picker.
    fn launch(&self, start: &Start<'_>) -> Result<Launch>;

    /// Its component, from its programs and the text of its metrics.
    fn version(&self, programs: &Programs, metrics: &str) -> String;

    /// The images that it needs in a cluster, by their names in `kind/versions.toml`.
    fn images(&self) -> &'static [&'static str];

    /// The charts that it needs in a cluster, by their names in `kind/versions.toml`.
    fn charts(&self) -> &[&'static str] {
        &[]
    }

    /// The labels of its pod, `KEY=VALUE,...`, from its name.
    fn labels(&self, name: &str) -> String;

    /// Whether it uses TLS in a cluster.
    fn tls(&self) -> bool;

    /// The objects of a pool's picker, except those that its chart creates.
    fn objects(&self, _deployment: &Deployment, _pool: &Pool) -> Vec<Value> {
        Vec::new()
    }

    /// The chart that installs a pool's picker and its InferencePool, by its name in `kind/versions.toml`, and its
    /// values.
    fn chart(&self, _deployment: &Deployment, _pool: &Pool) -> Option<(&'static str, Value)> {
        None
    }
}

/// What the process of a pool's endpoint picker needs at its start.
pub(crate) struct Start<'a> {
    /// The name of the process.
    pub(crate) name: &'a str,
    pub(crate) programs: &'a Programs,
    pub(crate) group: &'a ProcessGroup,
    pub(crate) ports: &'a PickerPorts,
    pub(crate) topology: &'a Topology,
    pub(crate) pool: &'a Pool,
    /// The namespace of the pool's objects.
    pub(crate) namespace: &'a str,
    /// Names and addresses of the pool's endpoints.
    pub(crate) endpoints: &'a [(String, SocketAddr)],
    pub(crate) kubeconfig: &'a Path,
    pub(crate) flaw: Option<Flaw>,
}

/// The three addresses of a GIE program.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PickerPorts {
    pub(crate) grpc: SocketAddr,
    pub(crate) health: SocketAddr,
    pub(crate) metrics: SocketAddr,
}

impl PickerPorts {
    pub(crate) fn take(ports: &mut Ports) -> Result<Self> {
        Ok(Self {
            grpc: ports.take()?,
            health: ports.take()?,
            metrics: ports.take()?,
        })
    }

    /// The flags that set these ports.
    pub(crate) fn flags(&self) -> [String; 3] {
        [
            format!("--grpc-port={}", self.grpc.port()),
            format!("--grpc-health-port={}", self.health.port()),
            format!("--metrics-port={}", self.metrics.port()),
        ]
    }
}
