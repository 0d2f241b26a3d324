//! A kind cluster of our own: created or reused, filled, and deleted.

mod create;
mod image;
mod lock;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};

use super::deployment::{self, Operator, deploy, plan};
use crate::artifacts::{Artifacts, Wanted};
use crate::kubernetes::{Cluster, Forwards, Pods, Site};
use crate::options::Options;
use crate::place::{self, Running, Started};
use crate::process::{Folder, ProcessGroup};
use crate::progress::Progress;
use crate::statuses::Objects;
use crate::tools::{self, Missing, Tool};
use crate::{own_image, parts};
use poolproof_model::change::Kind as ChangeKind;
use poolproof_model::parts::{Parts, StackKind};

pub use create::{cluster_config, down};
pub use lock::Lock;

use create::Node;

/// The namespace of the Gateway in a kind cluster.
const NAMESPACE: &str = "poolproof";

/// The tools that a kind stack needs.
pub const TOOLS: [Tool; 3] = [tools::DOCKER, tools::KIND, tools::HELM];

const EXPORT_TIMEOUT: Duration = Duration::from_secs(60);

/// A kind cluster.
pub(super) struct Place;

impl place::Place for Place {
    fn check(&self, options: &Options) -> Result<()> {
        let deployment = plan(options, NAMESPACE, String::new())?;
        deployment::check(options, &deployment)
    }

    fn kinds_of_changes(&self, parts: Parts) -> Vec<ChangeKind> {
        deployment::kinds_of_changes(StackKind::Kind, parts)
    }

    fn has_statuses(&self, parts: Parts) -> bool {
        parts::gateway(parts.gateway).class().is_some()
    }

    fn start<'a>(
        &self,
        options: &'a Options,
        progress: &'a mut Progress<'_>,
    ) -> BoxFuture<'a, Result<Started>> {
        start(options, progress).boxed()
    }

    fn own_pods(&self, options: &Options) -> Result<Option<(String, String)>> {
        let image = own_image::name(&options.program)?;
        Ok(Some((NAMESPACE.to_owned(), image)))
    }
}

/// A running kind stack. Dropping it deletes the cluster unless it is kept.
struct Kind {
    operator: Arc<Operator>,
    pods: Pods,
    group: ProcessGroup,
    // Drop order matters: forwards end before the cluster, and the lock is released after the cluster is gone.
    forwards: Forwards,
    _node: Node,
    _folder: Folder,
    _lock: Lock,
}

impl Running for Kind {
    fn operator(&self) -> Option<Arc<dyn place::Operator>> {
        Some(self.operator.clone())
    }

    fn objects(&self) -> Result<Option<Objects>> {
        Ok(self.operator.objects())
    }

    fn in_cluster(&self) -> Option<(&Pods, &Forwards)> {
        Some((&self.pods, &self.forwards))
    }

    /// Saves all logs of the node and its pods with `kind export logs`.
    fn save_logs<'a>(&'a self, to: &'a Path) -> BoxFuture<'a, Result<bool>> {
        async move {
            let mut export = create::kind(&["export", "logs"]);
            export.arg(to);
            let export = self.group.start("kind-export-logs", &export)?;
            export.finish(EXPORT_TIMEOUT).await?;
            Ok(true)
        }
        .boxed()
    }

    fn stop(self: Box<Self>) -> BoxFuture<'static, ()> {
        // Blocks until everything created is gone.
        drop(self);
        ready(()).boxed()
    }
}

/// Missing programs, and missing files of the user's artifacts folder.
pub async fn missing(options: &Options) -> Result<Vec<Missing>> {
    let mut missing = tools::missing(&TOOLS).await;
    let artifacts = Artifacts::of(options)?;
    let wanted = Wanted {
        crds: deployment::DEFINITIONS.to_vec(),
        charts: parts::charts(options.parts),
        images: images(options.parts),
    };
    missing.extend(artifacts.missing(&wanted)?);
    Ok(missing)
}

/// Creates a cluster and deploys the topology to it.
async fn start(options: &Options, progress: &mut Progress<'_>) -> Result<Started> {
    let lock = Lock::take()?;
    let (group, folder) = ProcessGroup::in_new_folder(options.program.clone())?;
    let artifacts = Artifacts::of(options)?;
    tools::none_missing("stack kind", &missing(options).await?)?;

    let image = options.kind_cluster.node_image.as_deref();
    let image = image.unwrap_or(&artifacts.versions().kind.node_image);
    let node = Node::create_or_reuse(&group, image, options.kind_cluster.keep).await?;
    progress.done(if node.reused {
        "kind cluster, used again"
    } else {
        "kind cluster"
    });

    let cluster = Cluster::new(node.client().await?);
    let nodes = cluster.read_all("", "").await?;
    let there = image::names(&nodes);
    let own_image = image::load_own(&group, &options.program, &there).await?;
    let on_node = image::on_node(&group).await?;
    for name in images(options.parts) {
        if image::load(&group, &artifacts, name, &on_node).await? && node.reused {
            image::restart_pods(&cluster, artifacts.versions().image(name)?).await?;
        }
    }
    progress.done("images");

    let site = Site {
        cluster: &cluster,
        kubeconfig: &node.kubeconfig,
        context: None,
        group: &group,
        artifacts: &artifacts,
        gateway: Some(format!("http://127.0.0.1:{}", node.gateway_port).parse()?),
        node: create::address(&nodes),
    };
    let deployment = plan(options, NAMESPACE, own_image)?;
    let (mut target, components, forwards) = deploy(&site, &deployment, progress).await?;
    target.name = format!("kind ({})", options.parts.gateway);
    let running = Kind {
        pods: deployment.own_pods(&cluster),
        operator: Operator::new(cluster.clone(), deployment, &target),
        group: group.clone(),
        forwards,
        _node: node,
        _folder: folder,
        _lock: lock,
    };
    Ok(Started {
        target,
        components,
        running: Box::new(running),
    })
}

/// The upstream images that these parts need, by their names in `kind/versions.toml`.
fn images(parts: Parts) -> Vec<&'static str> {
    let gateway = parts::gateway(parts.gateway).images();
    let picker = parts::picker(parts.epp).images();
    let model_server = parts::model_server(parts.model_server).images();
    [gateway, picker, model_server].concat()
}
