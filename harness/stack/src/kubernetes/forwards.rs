//! Forwards from this machine to ports of pods: directly by a node's port if the node is reachable, otherwise through
//! the cluster's API.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use futures_util::FutureExt;
use k8s_openapi::api::core::v1::{Pod, Service};
use tokio::net::TcpStream;
use url::Url;

use super::api::{labels, service, value};
use super::cluster::Cluster;
use super::forward::{self, Forward};
use super::ready::{State, wait};
use super::to::To;

/// kube-proxy takes a second, on a busy node a few.
const ROUTE_TIMEOUT: Duration = Duration::from_secs(30);
const REACH_TIMEOUT: Duration = Duration::from_secs(2);
/// The port of the API server on the node of a kind cluster.
const API_PORT: u16 = 6443;

/// The forwards of a stack. Dropping it closes those through the API.
#[derive(Debug, Default)]
pub struct Forwards {
    node: Option<IpAddr>,
    forwards: Vec<Forward>,
    /// All forwards.
    pub(crate) opened: Vec<Opened>,
}

/// The two ends of a forward.
#[derive(Clone, Debug)]
pub(crate) struct Opened {
    /// The local URL.
    from: Url,
    namespace: String,
    to: To,
    port: u16,
}

impl Forwards {
    /// Forwards by ports of a node, if it is reachable. A Docker engine in a virtual machine does not expose its
    /// networks.
    pub(crate) async fn by_node(node: Option<IpAddr>) -> Self {
        let mut forwards = Self::default();
        if let Some(node) = node {
            let connected = TcpStream::connect((node, API_PORT));
            let connected = tokio::time::timeout(REACH_TIMEOUT, connected).await;
            forwards.node = matches!(connected, Ok(Ok(_))).then_some(node);
        }
        forwards
    }

    /// Opens a forward to a port of a pod. Returns its URL, without path.
    pub(crate) async fn add(
        &mut self,
        cluster: &Cluster,
        namespace: &str,
        to: To,
        port: u16,
    ) -> Result<String> {
        let url = self.open(cluster, namespace, to.clone(), port).await?;
        self.opened.push(Opened {
            from: url.parse()?,
            namespace: namespace.to_owned(),
            to,
            port,
        });
        Ok(url)
    }

    async fn open(
        &mut self,
        cluster: &Cluster,
        namespace: &str,
        to: To,
        port: u16,
    ) -> Result<String> {
        if let Some(node) = self.node {
            let port = node_port(cluster, namespace, &to, port).await?;
            // The node's rules for a new port follow shortly after the Service.
            let connects = || {
                async move {
                    Ok(match TcpStream::connect((node, port)).await {
                        Ok(_) => State::Ready,
                        Err(error) => State::NotYet(error.to_string()),
                    })
                }
                .boxed()
            };
            wait(&format!("way to {to:?}"), ROUTE_TIMEOUT, &connects).await?;
            return Ok(format!("http://{node}:{port}"));
        }
        let forward = Forward::start(cluster, namespace, to, port).await?;
        let url = format!("http://{}", forward.address);
        self.forwards.push(forward);
        Ok(url)
    }
}

impl Opened {
    /// Whether a local URL goes through this forward.
    pub(crate) fn leads_to(&self, url: &Url) -> bool {
        let end = |it: &Url| (it.host_str().map(str::to_owned), it.port_or_known_default());
        end(&self.from) == end(url)
    }

    /// The URL at which pods of the cluster reach what a local URL reaches through this forward.
    pub(crate) async fn inside(&self, cluster: &Cluster, url: &Url) -> Result<Url> {
        let pod = forward::pod(cluster, &self.namespace, &self.to).await?;
        let found = cluster.read::<Pod>(&self.namespace, &pod).await?;
        let address = found.and_then(|pod| pod.status?.pod_ip);
        let address = address.and_then(|address| address.parse::<IpAddr>().ok());
        let address = address.with_context(|| format!("pod {pod} has no address"))?;
        let mut inside = url.clone();
        let set = inside
            .set_ip_host(address)
            .and_then(|()| inside.set_port(Some(self.port)));
        set.map_err(|()| anyhow!("{url} cannot have the address of a pod"))?;
        Ok(inside)
    }
}

/// Creates a NodePort Service for these pods, and returns its node port.
async fn node_port(cluster: &Cluster, namespace: &str, to: &To, port: u16) -> Result<u16> {
    let (of, selector) = match to {
        To::Pod(name) => (
            name.as_str(),
            vec![("statefulset.kubernetes.io/pod-name", name.as_str())],
        ),
        To::Labelled(labels) => {
            let labels = labels.split(',').filter_map(|label| label.split_once('='));
            let first = labels.clone().next().map_or("pods", |(_, value)| value);
            (first, labels.collect())
        }
    };
    let name = format!("way-{of}");
    let mut way = service(&name, namespace, ("way", port));
    if let Some(spec) = &mut way.spec {
        spec.type_ = Some("NodePort".to_owned());
        spec.selector = Some(labels(&selector));
        // Pods that are not ready must be reachable, too.
        spec.publish_not_ready_addresses = Some(true);
    }
    cluster.apply(&value(way)).await?;
    let made = cluster.read::<Service>(namespace, &name).await?;
    let ports = made.and_then(|service| service.spec?.ports);
    let port = ports.and_then(|ports| ports.first()?.node_port);
    let port = port.and_then(|port| u16::try_from(port).ok());
    port.with_context(|| format!("Service {namespace}/{name} has no node port"))
}
