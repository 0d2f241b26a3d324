//! Creates, reuses and deletes the kind cluster with the kind program.

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1 as k8s;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config, ResourceExt};
use serde_json::{Value, json};

use super::lock::{Lock, state_folder};
use crate::kubernetes::Cluster;
use crate::kubernetes::deployment::GATEWAY_NODE_PORT;
use crate::ports::Ports;
use crate::process::ProcessGroup;

/// The name of the cluster.
pub(super) const CLUSTER: &str = "poolproof";
/// The label that marks our nodes. Its value is the port of 127.0.0.1 at which the gateway is reached.
const OURS: &str = "poolproof.dev/gateway-port";

const PROGRAM_TIMEOUT: Duration = Duration::from_secs(20);
/// A node image of a gigabyte may have to be pulled first.
const CREATE_TIMEOUT: Duration = Duration::from_secs(600);
const NODE_READY: &str = "180s";

/// The node of our cluster. Dropping it deletes the cluster unless `keep` is set.
pub(super) struct Node {
    pub(super) kubeconfig: PathBuf,
    pub(super) gateway_port: u16,
    pub(super) reused: bool,
    keep: bool,
}

impl Node {
    /// Creates a cluster, or reuses an existing one if it is ours and answers.
    pub(super) async fn create_or_reuse(
        group: &ProcessGroup,
        image: &str,
        keep: bool,
    ) -> Result<Self> {
        if let Some(node) = Self::reuse(group, keep).await? {
            return Ok(node);
        }
        let mut node = Self::kept()?;
        node.gateway_port = Ports::new().take()?.port();
        let file = group.logs.join("cluster.json");
        std::fs::write(&file, cluster_config(node.gateway_port).to_string())
            .with_context(|| format!("writing {}", file.display()))?;
        let mut create = kind(&["create", "cluster"]);
        create
            .args(["--image", image, "--wait", NODE_READY, "--config"])
            .arg(&file)
            .arg("--kubeconfig")
            .arg(&node.kubeconfig);
        // From here on the cluster must be deleted, even if this future is dropped.
        node.keep = false;
        let created = group.start("kind-create", &create)?;
        let created = created.finish(CREATE_TIMEOUT).await;
        created.with_context(|| format!("creating a kind cluster from node image {image}"))?;
        node.keep = keep;
        Ok(node)
    }

    /// The existing cluster, if any. Fails if it is not ours or does not answer.
    async fn reuse(group: &ProcessGroup, keep: bool) -> Result<Option<Self>> {
        let mut list = Command::new("kind");
        let list = group.start("kind-get", list.args(["get", "clusters"]))?;
        let clusters = list.finish(PROGRAM_TIMEOUT).await?;
        if !clusters.lines().any(|name| name == CLUSTER) {
            return Ok(None);
        }
        let mut node = Self::kept()?;
        let mut export = kind(&["export", "kubeconfig"]);
        export.arg("--kubeconfig").arg(&node.kubeconfig);
        let export = group.start("kind-export", &export)?;
        export.finish(PROGRAM_TIMEOUT).await?;
        node.gateway_port = node.port_of_ours().await?;
        node.reused = true;
        node.keep = keep;
        Ok(Some(node))
    }

    /// A node with unknown address and version, which is not deleted.
    fn kept() -> Result<Self> {
        Ok(Self {
            kubeconfig: state_folder()?.join("kubeconfig"),
            gateway_port: 0,
            reused: false,
            keep: true,
        })
    }

    /// A client of the cluster.
    pub(super) async fn client(&self) -> Result<Client> {
        let kubeconfig = Kubeconfig::read_from(&self.kubeconfig)
            .with_context(|| format!("reading {}", self.kubeconfig.display()))?;
        let config =
            Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
        let config = config.with_context(|| format!("{}", self.kubeconfig.display()))?;
        Client::try_from(config).context("client of the kind cluster")
    }

    /// The port at which our cluster's gateway is reached.
    async fn port_of_ours(&self) -> Result<u16> {
        let cluster = Cluster::new(self.client().await?);
        let nodes =
            tokio::time::timeout(PROGRAM_TIMEOUT, cluster.read_all::<k8s::Node>("", "")).await;
        let advice =
            format!("`kind delete cluster --name {CLUSTER}` deletes it if it is no longer needed");
        let nodes = nodes.map_err(anyhow::Error::from).and_then(|it| it);
        let nodes = nodes.with_context(|| {
            format!("there is a kind cluster {CLUSTER} that does not answer; {advice}")
        })?;
        let mut labels = nodes.iter().map(|node| node.labels().get(OURS));
        let label = labels.find_map(|label| label).with_context(|| {
            format!("there is a kind cluster {CLUSTER} that poolproof has not made; {advice}")
        })?;
        label
            .parse()
            .with_context(|| format!("label {OURS} of its node"))
    }
}

/// The address of a node in the network of the Docker engine.
pub(super) fn address(nodes: &[k8s::Node]) -> Option<IpAddr> {
    let statuses = nodes.iter().filter_map(|node| node.status.as_ref());
    let addresses = statuses.flat_map(|status| status.addresses.iter().flatten());
    let mut internal = addresses.filter(|address| address.type_ == "InternalIP");
    internal.find_map(|address| address.address.parse().ok())
}

impl Drop for Node {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        if let Err(error) = delete() {
            tracing::error!("deleting the kind cluster: {error:#}");
        }
        // The kubeconfig is useless now. It may never have been written.
        let _ = std::fs::remove_file(&self.kubeconfig);
    }
}

/// Deletes the cluster if it exists. Returns whether it existed; fails if it is not ours.
pub async fn down(program: PathBuf) -> Result<bool> {
    if !state_folder()?.join("kubeconfig").exists() {
        return Ok(false);
    }
    let _lock = Lock::take()?;
    let (group, _folder) = ProcessGroup::in_new_folder(program)?;
    let node = Node::reuse(&group, false).await?;
    Ok(node.is_some())
}

/// kind's configuration of the cluster: one node, whose gateway port is mapped to the loopback of this machine.
pub fn cluster_config(gateway_port: u16) -> Value {
    json!({
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "networking": {"apiServerAddress": "127.0.0.1"},
        "nodes": [{
            "role": "control-plane",
            "labels": {OURS: gateway_port.to_string()},
            "extraPortMappings": [{
                "containerPort": GATEWAY_NODE_PORT,
                "hostPort": gateway_port,
                "listenAddress": "127.0.0.1",
                "protocol": "TCP",
            }],
        }],
    })
}

pub(super) fn kind(args: &[&str]) -> Command {
    let mut command = Command::new("kind");
    command.args(args).args(["--name", CLUSTER]);
    command
}

/// Deletes the cluster and blocks until it is gone: a runtime may no longer exist.
fn delete() -> Result<()> {
    let output = kind(&["delete", "cluster"])
        .env("KUBECONFIG", "/dev/null")
        .stdin(Stdio::null())
        .output()
        .context("starting kind")?;
    let message = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "kind delete cluster: {}",
        message.trim()
    );
    Ok(())
}
