//! A kind cluster of our own: made or used again, filled, and taken down.

mod create;
mod image;
mod lock;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;

use super::artifacts::{Artifacts, Wanted};
use super::kubernetes::load_job::Inside;
use super::kubernetes::manifests::Plan;
use super::kubernetes::{Cluster, Operator, Place, Ways, deploy};
use super::parts::{EndpointPicker, Gateway, ModelServer, Parts};
use super::process::{Folder, Nursery};
use super::tools::{self, Missing, Tool};
use super::{Component, Progress};
use crate::target::Target;

pub use create::{cluster_config, down};
pub use lock::Lock;

use create::Node;

/// The namespace of the Gateway in a kind cluster.
const NAMESPACE: &str = "poolproof";

/// What a kind stack needs.
pub const TOOLS: [Tool; 3] = [tools::DOCKER, tools::KIND, tools::HELM];

const EXPORT_TIMEOUT: Duration = Duration::from_secs(60);

/// What only a kind stack asks for.
#[derive(Clone, Debug)]
pub struct Options {
    /// The node image; `None`: that of `kind/versions.toml`.
    pub node_image: Option<String>,
    /// A folder from which alone charts, definitions and images are taken.
    pub artifacts: Option<PathBuf>,
    /// Leave the cluster when the stack stops; the next start uses it again.
    pub keep: bool,
}

/// A running kind stack. Dropping it deletes the cluster, unless it is to be kept.
pub struct Kind {
    pub(super) operator: Operator,
    /// Where pods of ours run in it.
    pub(super) inside: Inside,
    nursery: Nursery,
    // In this order: ways end before the cluster does, and nobody else touches it before it is gone.
    pub(super) ways: Ways,
    _node: Node,
    _folder: Folder,
    _lock: Lock,
}

impl Kind {
    /// All logs of the node and of its pods, as kind collects them.
    pub(super) async fn save_logs(&self, to: &Path) -> Result<bool> {
        let mut export = create::kind(&["export", "logs"]);
        export.arg(to);
        let export = self.nursery.start("kind-export-logs", &export)?;
        export.finish(EXPORT_TIMEOUT).await?;
        Ok(true)
    }
}

/// Fails if what was asked for cannot be put together.
pub fn check(options: &super::Options) -> Result<()> {
    Plan::new(options, NAMESPACE, String::new())?.check()?;
    super::kubernetes_can_have(options)
}

/// What the stack needs and this machine lacks: programs, and files of a folder that the user named.
pub async fn missing(options: &super::Options) -> Result<Vec<Missing>> {
    let mut missing = tools::missing(&TOOLS).await;
    let artifacts = Artifacts::open(options.kind_options.artifacts.as_deref())?;
    missing.extend(artifacts.missing(&wanted(options.parts))?);
    Ok(missing)
}

/// Brings up a cluster and the topology in it.
pub async fn start(
    options: &super::Options,
    progress: &mut Progress<'_>,
) -> Result<(Target, Vec<Component>, Kind)> {
    let lock = Lock::take()?;
    let (nursery, folder) = Nursery::in_new_folder(options.program.clone())?;
    let artifacts = Artifacts::open(options.kind_options.artifacts.as_deref())?;
    tools::none_missing("stack kind", &missing(options).await?)?;

    let image = options.kind_options.node_image.as_deref();
    let image = image.unwrap_or(&artifacts.versions().kind.node_image);
    let node = Node::create_or_reuse(&nursery, image, options.kind_options.keep).await?;
    progress.done(match node.reused {
        true => "kind cluster, used again",
        false => "kind cluster",
    });

    let cluster = Cluster::new(node.client().await?);
    let nodes = cluster.list("v1", "Node", "", "").await?;
    let there = image::names(&nodes);
    let own_image = image::load_own(&nursery, &options.program, &there).await?;
    let on_node = image::on_node(&nursery).await?;
    for name in images(options.parts) {
        if image::load(&nursery, &artifacts, name, &on_node).await? && node.reused {
            image::restart_pods(&cluster, artifacts.versions().image(name)?).await?;
        }
    }
    progress.done("images");

    let place = Place {
        cluster: &cluster,
        kubeconfig: &node.kubeconfig,
        context: None,
        nursery: &nursery,
        artifacts: &artifacts,
        gateway: Some(format!("http://127.0.0.1:{}", node.gateway_port).parse()?),
        node: create::address(&nodes),
    };
    let plan = Plan::new(options, NAMESPACE, own_image)?;
    let (mut target, components, ways) = deploy(&place, &plan, progress).await?;
    target.name = format!("kind ({})", super::parts::name(options.parts.gateway));
    let kind = Kind {
        inside: plan.inside(&cluster),
        operator: Operator::new(cluster.clone(), plan, &target),
        nursery: nursery.clone(),
        ways,
        _node: node,
        _folder: folder,
        _lock: lock,
    };
    Ok((target, components, kind))
}

/// The namespace and the image of pods of ours in such a cluster.
pub(super) fn pods_of_ours(options: &super::Options) -> Result<(String, String)> {
    let image = super::own_image::name(&options.program)?;
    Ok((NAMESPACE.to_owned(), image))
}

/// What these parts take from the folder of artifacts.
fn wanted(parts: Parts) -> Wanted {
    let mut charts = Vec::new();
    if parts.gateway == Gateway::Agentgateway {
        charts.extend(["agentgateway-crds", "agentgateway"]);
    }
    if parts.epp == EndpointPicker::Gie {
        charts.push("inferencepool");
    }
    Wanted {
        crds: vec!["gateway-api", "inference-extension"],
        charts,
        images: images(parts),
    }
}

/// The upstream images that these parts need, by their names in `kind/versions.toml`.
fn images(parts: Parts) -> Vec<&'static str> {
    let mut images = Vec::new();
    match parts.gateway {
        Gateway::Agentgateway => images.extend(["agentgateway-controller", "agentgateway"]),
        Gateway::Envoy => images.extend(["bbr", "envoy"]),
        Gateway::Poolproof => {}
    }
    match parts.epp {
        EndpointPicker::Gie => images.push("epp"),
        EndpointPicker::Poolproof => {}
    }
    match parts.model_server {
        ModelServer::LlmDInferenceSim => images.push("llm-d-inference-sim"),
        ModelServer::Vllm => images.push("vllm"),
        ModelServer::Poolproof => {}
    }
    images
}
