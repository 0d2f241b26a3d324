//! What a stack is started with: plain values, read from the command line or the environment.

use std::path::PathBuf;

use poolproof_fixtures::flaw::Flaw;
use url::Url;

use poolproof_model::parts::{KubeApi, Parts, StackKind};
use poolproof_model::topology::Topology;

/// What a stack is started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which stack.
    pub kind: StackKind,
    /// What it is to consist of; a `url` stack has its own.
    pub topology: Topology,
    /// The target file of a `url` stack.
    pub target_file: Option<PathBuf>,
    /// The defect to put in.
    pub flaw: Option<Flaw>,
    /// Seed of every random choice in stand-ins.
    pub seed: u64,
    /// What it is put together from.
    pub parts: Parts,
    /// The poolproof program itself, which serves its own parts as processes or in containers.
    pub program: PathBuf,
    /// A folder from which alone charts, definitions and images are taken; `None`: the cache, which fills itself.
    pub artifacts: Option<PathBuf>,
    /// What only stacks `local` and `containers` ask for.
    pub processes: ProcessOptions,
    /// What only a `kind` stack asks for.
    pub kind_cluster: KindOptions,
    /// What only a `cluster` stack asks for.
    pub cluster: ClusterOptions,
}

/// What only stacks of processes or containers ask for.
#[derive(Clone, Debug)]
pub struct ProcessOptions {
    /// Where the upstream programs are; `None`: the cache folder that `ci/upstream/build` fills, then `PATH`.
    pub bin_dir: Option<PathBuf>,
    /// The Kubernetes API that endpoint pickers watch.
    pub kube_api: KubeApi,
}

/// What only a kind stack asks for.
#[derive(Clone, Debug)]
pub struct KindOptions {
    /// The node image; `None`: that of `kind/versions.toml`.
    pub node_image: Option<String>,
    /// Leave the cluster when the stack stops; the next start uses it again.
    pub keep: bool,
}

/// What only a cluster stack asks for.
#[derive(Clone, Debug)]
pub struct ClusterOptions {
    /// The context of the user's kubeconfig; never its current one by accident.
    pub context: Option<String>,
    /// The namespace of the Gateway; with `existing` the only one that is looked into.
    pub namespace: Option<String>,
    /// Only read what is there.
    pub existing: bool,
    /// Where the gateway is reached from here; `None`: through the API of the cluster, or where its Gateway says.
    pub gateway_url: Option<Url>,
    /// The image of poolproof, where one of its parts is asked for.
    pub own_image: Option<String>,
}
