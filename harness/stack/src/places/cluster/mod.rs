//! An existing cluster: the topology is deployed into its own namespaces and removed afterwards, or what exists is only
//! read.

mod deployed;
mod existing;
pub mod role;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use super::deployment::{self, Operator, deploy, remove};
use crate::artifacts::Artifacts;
use crate::kubernetes::{Cluster, Deployment, Forwards, Pods, Site};
use crate::options::{ClusterOptions, Options};
use crate::parts;
use crate::place::{self, Running, Started};
use crate::process::ProcessGroup;
use crate::progress::Progress;
use crate::statuses::Objects;
use deployed::Deployed;
use poolproof_model::change::Kind;
use poolproof_model::component::Component;
use poolproof_model::parts::{Parts, StackKind};
use poolproof_model::target::Target;

/// The default image of poolproof.
const OWN_IMAGE: &str = "docker.io/library/poolproof:latest";
/// The default namespace of the Gateway.
const NAMESPACE: &str = "poolproof";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// A cluster of the user's kubeconfig.
pub(super) struct Place;

impl place::Place for Place {
    fn check(&self, options: &Options) -> Result<()> {
        let cluster_options = &options.cluster;
        kubeconfig(cluster_options)?;
        if cluster_options.existing {
            if let Some(flaw) = options.flaw {
                anyhow::bail!(
                    "--flaw {flaw}: a stack that is already there cannot be given a flaw"
                );
            }
            return Ok(());
        }
        deployment::check(options, &plan(options)?)
    }

    fn kinds_of_changes(&self, parts: Parts) -> Vec<Kind> {
        deployment::kinds_of_changes(StackKind::Cluster, parts)
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

    /// With `existing` and no namespace, own pods run in the Gateway's namespace.
    fn own_pods(&self, options: &Options) -> Result<Option<(String, String)>> {
        let cluster_options = &options.cluster;
        let namespace = cluster_options.namespace.as_deref().unwrap_or(NAMESPACE);
        Ok(Some((
            namespace.to_owned(),
            own_image(cluster_options).to_owned(),
        )))
    }
}

/// A running cluster stack. Dropping it removes the deployment, and waits until it is gone.
struct Attached {
    // Dropped first: forwards end before their pods.
    forwards: Forwards,
    pods: Pods,
    /// Makes changes; `None` for a stack that was not deployed here.
    operator: Option<Arc<Operator>>,
    /// The deployment to remove when the stack stops.
    _deployed: Option<Deployed>,
}

impl Running for Attached {
    fn operator(&self) -> Option<Arc<dyn place::Operator>> {
        let operator = self.operator.clone()?;
        Some(operator)
    }

    fn objects(&self) -> Result<Option<Objects>> {
        let operator = self.operator.as_ref();
        Ok(operator.and_then(|operator| operator.objects()))
    }

    fn in_cluster(&self) -> Option<(&Pods, &Forwards)> {
        Some((&self.pods, &self.forwards))
    }

    fn stop(self: Box<Self>) -> BoxFuture<'static, ()> {
        // Blocks until the deployment is gone.
        drop(self);
        ready(()).boxed()
    }
}

/// Deploys the topology, or reads what exists.
async fn start(options: &Options, progress: &mut Progress<'_>) -> Result<Started> {
    let (config, kubeconfig) = config(options).await?;
    let client = Client::try_from(config.clone()).context("client of the cluster")?;
    let cluster = Cluster::new(client);
    let version = tokio::time::timeout(CONNECT_TIMEOUT, cluster.version()).await;
    let version = version
        .context("the cluster does not answer")
        .and_then(|it| it)?;
    progress.done(format!("cluster, Kubernetes {version}"));
    if options.cluster.existing {
        let (target, components, forwards, beside) =
            existing::read(&cluster, options, progress).await?;
        let attached = Attached {
            forwards,
            pods: Pods {
                namespace: beside.namespace,
                image: own_image(&options.cluster).to_owned(),
                gateway: beside.gateway,
                cluster,
            },
            operator: None,
            _deployed: None,
        };
        return Ok(started(target, components, attached));
    }

    let (group, folder) = ProcessGroup::in_new_folder(options.program.clone())?;
    let artifacts = Artifacts::of(options)?;
    let deployment = plan(options)?;
    // Leftovers of a killed run.
    remove(&cluster, &deployment.namespace).await?;
    // From here on the deployment must be removed, even if this future is dropped.
    let deployed = Deployed {
        config,
        kubeconfig,
        context: options.cluster.context.clone(),
        group,
        _folder: folder,
        namespace: deployment.namespace.clone(),
    };
    let site = Site {
        cluster: &cluster,
        kubeconfig: &deployed.kubeconfig,
        context: deployed.context.as_deref(),
        group: &deployed.group,
        artifacts: &artifacts,
        gateway: options.cluster.gateway_url.clone(),
        node: None,
    };
    let (mut target, components, forwards) = deploy(&site, &deployment, progress).await?;
    target.name = format!("cluster ({})", options.parts.gateway);
    let attached = Attached {
        forwards,
        pods: deployment.own_pods(&cluster),
        operator: Some(Operator::new(cluster, deployment, &target)),
        _deployed: Some(deployed),
    };
    Ok(started(target, components, attached))
}

fn started(target: Target, components: Vec<Component>, attached: Attached) -> Started {
    Started {
        target,
        components,
        running: Box::new(attached),
    }
}

/// The client configuration of the named context, and its kubeconfig.
async fn config(options: &Options) -> Result<(Config, PathBuf)> {
    let (kubeconfig, path) = kubeconfig(&options.cluster)?;
    let named = KubeConfigOptions {
        context: options.cluster.context.clone(),
        ..KubeConfigOptions::default()
    };
    let config = Config::from_custom_kubeconfig(kubeconfig, &named).await;
    let config = config.with_context(|| format!("kubeconfig {}", path.display()))?;
    Ok((config, path))
}

/// The user's kubeconfig, read only. Fails if it lacks the named context.
fn kubeconfig(cluster_options: &ClusterOptions) -> Result<(Kubeconfig, PathBuf)> {
    let wanted = cluster_options.context.as_deref();
    let wanted =
        wanted.context("--stack cluster needs --context NAME, a context of your kubeconfig")?;
    let (kubeconfig, path) = read_kubeconfig()?;
    let contexts: Vec<&str> = kubeconfig
        .contexts
        .iter()
        .map(|context| context.name.as_str())
        .collect();
    anyhow::ensure!(
        contexts.contains(&wanted),
        "--context {wanted}: kubeconfig {} has {}",
        path.display(),
        match contexts.as_slice() {
            [] => "no contexts".to_owned(),
            contexts => contexts.join(", "),
        }
    );
    Ok((kubeconfig, path))
}

fn read_kubeconfig() -> Result<(Kubeconfig, PathBuf)> {
    let path = match std::env::var_os("KUBECONFIG") {
        Some(path) => PathBuf::from(path),
        None => {
            PathBuf::from(std::env::var_os("HOME").context("HOME is not set")?).join(".kube/config")
        }
    };
    anyhow::ensure!(path.exists(), "there is no file {}", path.display());
    let kubeconfig = Kubeconfig::read_from(&path)
        .with_context(|| format!("reading kubeconfig {}", path.display()))?;
    Ok((kubeconfig, path))
}

/// The names of the contexts in the user's kubeconfig, the current one first. Fails if it cannot be read.
pub fn contexts() -> Result<Vec<String>> {
    let (kubeconfig, _) = read_kubeconfig()?;
    let current = kubeconfig.current_context;
    let contexts = kubeconfig.contexts.into_iter();
    let mut names: Vec<String> = contexts.map(|context| context.name).collect();
    names.sort_by_key(|name| Some(name) != current.as_ref());
    Ok(names)
}

fn plan(options: &Options) -> Result<Deployment> {
    let cluster_options = &options.cluster;
    let namespace = cluster_options.namespace.as_deref().unwrap_or(NAMESPACE);
    deployment::plan(options, namespace, own_image(cluster_options).to_owned())
}

fn own_image(cluster_options: &ClusterOptions) -> &str {
    cluster_options.own_image.as_deref().unwrap_or(OWN_IMAGE)
}
