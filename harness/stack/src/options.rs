//! Options of a stack: plain values, read from the command line or the environment.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use poolproof_fixtures::flaw::Flaw;
use url::Url;

use poolproof_model::build::Builds;
use poolproof_model::parts::{KubeApi, Parts, StackKind};
use poolproof_model::target::{Access, Secret, Target};
use poolproof_model::topology::Topology;

/// The options of a stack.
#[derive(Clone, Debug)]
pub struct Options {
    /// The kind of stack.
    pub kind: StackKind,
    /// The topology; a `url` stack has its own.
    pub topology: Topology,
    /// The target file of a `url` stack.
    pub target_file: Option<PathBuf>,
    /// The target of a `url` stack without a file.
    pub target: Option<Target>,
    /// What is started for a `url` stack; `None`: everything is there already.
    pub private: Option<Private>,
    /// The flaw to enable.
    pub flaw: Option<Flaw>,
    /// The seed of every random choice in stand-ins.
    pub seed: u64,
    /// Headers, keys and certificates, in place of those of the target file.
    pub access: Access,
    /// How long to wait until the first model is served; `None`: it must be served already.
    pub wait_ready: Option<Duration>,
    /// The parts.
    pub parts: Parts,
    /// Their builds, checked by [`builds`](crate::parts::builds).
    pub builds: Builds,
    /// The poolproof program, which serves its own parts as processes or in containers.
    pub program: PathBuf,
    /// The only folder that charts, definitions and images are taken from; `None`: the cache, which is filled on
    /// demand.
    pub artifacts: Option<PathBuf>,
    /// Options of stacks `local` and `containers`.
    pub processes: ProcessOptions,
    /// Options of a `kind` stack.
    pub kind_cluster: KindOptions,
    /// Options of a `cluster` stack.
    pub cluster: ClusterOptions,
}

/// What is started for a target file: a gateway of the user's own, and model servers behind it.
#[derive(Clone, Debug)]
pub struct Private {
    /// The command of the gateway with its arguments; empty: the gateway runs already.
    pub command: Vec<String>,
    /// The folder in which the command runs.
    pub folder: PathBuf,
    /// Variables of the command, besides those of this process.
    pub env: BTreeMap<String, Secret>,
    /// Whether a model server of poolproof is started at the `url` of each endpoint.
    pub endpoints: bool,
    /// An existing folder for the output of the command; that of the model servers goes to `logs` in it.
    pub output: PathBuf,
}

/// Options of stacks of processes or containers.
#[derive(Clone, Debug)]
pub struct ProcessOptions {
    /// The folder of upstream programs; `None`: the cache folder that `ci/upstream/build` fills, then `PATH`.
    pub bin_dir: Option<PathBuf>,
    /// The Kubernetes API that endpoint pickers watch.
    pub kube_api: KubeApi,
}

/// Options of a kind stack.
#[derive(Clone, Debug)]
pub struct KindOptions {
    /// The node image; `None`: that of `kind/versions.toml`.
    pub node_image: Option<String>,
    /// Keep the cluster when the stack stops; the next start reuses it.
    pub keep: bool,
}

/// Options of a cluster stack.
#[derive(Clone, Debug)]
pub struct ClusterOptions {
    /// The context of the user's kubeconfig. It is required, so that the current one is never used by accident.
    pub context: Option<String>,
    /// The namespace of the Gateway; with `existing` the only namespace that is read.
    pub namespace: Option<String>,
    /// Only read what exists.
    pub existing: bool,
    /// The gateway's local URL; `None`: through the cluster's API, or the address in the Gateway's status.
    pub gateway_url: Option<Url>,
    /// The image of poolproof, if one of its parts is used.
    pub own_image: Option<String>,
}
