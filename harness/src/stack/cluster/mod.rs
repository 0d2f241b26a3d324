//! A cluster that is already there: the topology is deployed into namespaces of its own and removed afterwards, or what is there
//! is only read.

mod deployed;
mod existing;
pub mod role;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use url::Url;

use super::artifacts::Artifacts;
use super::kubernetes::load_job::Inside;
use super::kubernetes::manifests::Plan;
use super::kubernetes::{Cluster, Operator, Place, Ways, deploy, remove};
use super::process::Nursery;
use super::{Component, Progress};
use crate::target::Target;
use deployed::Deployed;

/// The image of poolproof, where none is named.
const OWN_IMAGE: &str = "docker.io/library/poolproof:latest";
/// The namespace of the Gateway, where none is named.
const NAMESPACE: &str = "poolproof";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// What only a cluster stack asks for.
#[derive(Clone, Debug)]
pub struct Options {
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
    /// A folder from which alone charts and definitions are taken.
    pub artifacts: Option<PathBuf>,
}

/// A running cluster stack. Dropping it removes what was deployed, and waits until it is gone.
pub struct Attached {
    // Before what it leads to goes.
    pub(super) ways: Ways,
    /// Where pods of ours run in it, if any are asked for.
    pub(super) inside: Inside,
    /// Who makes changes: only of what was deployed.
    pub(super) operator: Option<Operator>,
    /// What is removed when the stack stops.
    _deployed: Option<Deployed>,
}

/// Fails if what was asked for cannot be put together.
pub fn check(options: &super::Options) -> Result<()> {
    let asked = &options.cluster;
    kubeconfig(asked)?;
    if asked.existing {
        return match options.flaw {
            Some(flaw) => {
                anyhow::bail!("--flaw {flaw}: a stack that is already there cannot be given a flaw")
            }
            None => Ok(()),
        };
    }
    plan(options)?.check()?;
    super::kubernetes_can_have(options)
}

/// Deploys the topology, or reads what is there.
pub async fn start(
    options: &super::Options,
    progress: &mut Progress<'_>,
) -> Result<(Target, Vec<Component>, Attached)> {
    let (config, kubeconfig) = config(options).await?;
    let client = Client::try_from(config.clone()).context("client of the cluster")?;
    let cluster = Cluster::new(client);
    let version = tokio::time::timeout(CONNECT_TIMEOUT, cluster.version()).await;
    let version = version
        .context("the cluster does not answer")
        .and_then(|it| it)?;
    progress.done(format!("cluster, Kubernetes {version}"));
    if options.cluster.existing {
        let (target, components, ways, beside) =
            existing::read(&cluster, options, progress).await?;
        let attached = Attached {
            ways,
            inside: Inside {
                namespace: beside.namespace,
                image: own_image(&options.cluster).to_owned(),
                gateway: beside.gateway,
                cluster,
            },
            operator: None,
            _deployed: None,
        };
        return Ok((target, components, attached));
    }

    let (nursery, folder) = Nursery::in_new_folder(options.program.clone())?;
    let artifacts = Artifacts::open(options.cluster.artifacts.as_deref())?;
    let plan = plan(options)?;
    // Strays of a run that was killed.
    remove(&cluster, &plan.namespace).await?;
    // From here on there is something to remove, also if this future is dropped.
    let deployed = Deployed {
        config,
        kubeconfig,
        context: options.cluster.context.clone(),
        nursery,
        _folder: folder,
        namespace: plan.namespace.clone(),
    };
    let place = Place {
        cluster: &cluster,
        kubeconfig: &deployed.kubeconfig,
        context: deployed.context.as_deref(),
        nursery: &deployed.nursery,
        artifacts: &artifacts,
        gateway: options.cluster.gateway_url.clone(),
        node: None,
    };
    let (mut target, components, ways) = deploy(&place, &plan, progress).await?;
    target.name = format!("cluster ({})", super::parts::name(options.parts.gateway));
    let attached = Attached {
        ways,
        inside: plan.inside(&cluster),
        operator: Some(Operator::new(cluster, plan, &target)),
        _deployed: Some(deployed),
    };
    Ok((target, components, attached))
}

/// How the context that was named is reached, and the kubeconfig that says so.
async fn config(options: &super::Options) -> Result<(Config, PathBuf)> {
    let (kubeconfig, path) = kubeconfig(&options.cluster)?;
    let named = KubeConfigOptions {
        context: options.cluster.context.clone(),
        ..KubeConfigOptions::default()
    };
    let config = Config::from_custom_kubeconfig(kubeconfig, &named).await;
    let config = config.with_context(|| format!("kubeconfig {}", path.display()))?;
    Ok((config, path))
}

/// The user's kubeconfig, which is only read. Fails if it does not have the context that was named.
fn kubeconfig(asked: &Options) -> Result<(Kubeconfig, PathBuf)> {
    let wanted = asked.context.as_deref();
    let wanted =
        wanted.context("--stack cluster needs --context NAME, a context of your kubeconfig")?;
    let path = match std::env::var_os("KUBECONFIG") {
        Some(path) => PathBuf::from(path),
        None => {
            PathBuf::from(std::env::var_os("HOME").context("HOME is not set")?).join(".kube/config")
        }
    };
    let kubeconfig = Kubeconfig::read_from(&path)
        .with_context(|| format!("reading kubeconfig {}", path.display()))?;
    let contexts: Vec<&str> = kubeconfig
        .contexts
        .iter()
        .map(|it| it.name.as_str())
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

fn plan(options: &super::Options) -> Result<Plan> {
    let asked = &options.cluster;
    let namespace = asked.namespace.as_deref().unwrap_or(NAMESPACE);
    Plan::new(options, namespace, own_image(asked).to_owned())
}

/// The namespace and the image of pods of ours in such a cluster; with `existing` and no namespace, theirs is that of the Gateway.
pub(super) fn pods_of_ours(options: &super::Options) -> (String, String) {
    let asked = &options.cluster;
    let namespace = asked.namespace.as_deref().unwrap_or(NAMESPACE);
    (namespace.to_owned(), own_image(asked).to_owned())
}

fn own_image(asked: &Options) -> &str {
    asked.own_image.as_deref().unwrap_or(OWN_IMAGE)
}
