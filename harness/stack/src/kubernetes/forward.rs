//! Port forwards from this machine to a pod through the cluster's API, each with its own local address.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::Api;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::cluster::Cluster;
use super::ready::is_ready;
use super::to::To;

/// The pause after a failed accept: without free file descriptors the next one would fail at once, too.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A listener that forwards its connections to a pod. Dropping it closes the listener and its connections.
#[derive(Debug)]
pub(crate) struct Forward {
    /// The local address.
    pub(crate) address: SocketAddr,
    task: JoinHandle<()>,
}

impl Forward {
    /// Listens on a free port of 127.0.0.1.
    pub(crate) async fn start(
        cluster: &Cluster,
        namespace: &str,
        to: To,
        port: u16,
    ) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.context("listening for connections to a pod")?;
        let address = listener.local_addr()?;
        let (cluster, namespace) = (cluster.clone(), namespace.to_owned());
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                tokio::select! {
                    (connection, _) = accept(|| listener.accept()) => {
                        let (cluster, namespace, to) = (cluster.clone(), namespace.clone(), to.clone());
                        connections.spawn(async move {
                            let connected = connect(connection, &cluster, &namespace, &to, port);
                            if let Err(error) = connected.await {
                                tracing::debug!("connection to {to:?}: {error:#}");
                            }
                        });
                    }
                    Some(_) = connections.join_next() => {}
                }
            }
        });
        Ok(Self { address, task })
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The next connection. A failed accept is logged and retried after [`ACCEPT_PAUSE`].
async fn accept<T, F>(accept: impl Fn() -> F) -> T
where
    F: Future<Output = io::Result<T>>,
{
    loop {
        match accept().await {
            Ok(accepted) => return accepted,
            Err(error) => tracing::warn!("accepting a connection to a pod: {error}"),
        }
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}

/// Copies in both directions until either side ends. HTTP clients do not half-close, and a model server must notice at
/// once when its client disconnects.
async fn connect(
    mut local: TcpStream,
    cluster: &Cluster,
    namespace: &str,
    to: &To,
    port: u16,
) -> Result<()> {
    local.set_nodelay(true)?;
    let pod = pod(cluster, namespace, to).await?;
    let pods = Api::<Pod>::namespaced(cluster.client.clone(), namespace);
    let mut forwarder = pods.portforward(&pod, &[port]).await?;
    let remote = forwarder.take_stream(port);
    let remote = remote.context("the port was not forwarded")?;
    let (mut from_pod, mut to_pod) = tokio::io::split(remote);
    let (mut from_client, mut to_client) = local.split();
    tokio::select! {
        _ = tokio::io::copy(&mut from_client, &mut to_pod) => {}
        _ = tokio::io::copy(&mut from_pod, &mut to_client) => {
            // Even if the client is gone already, the connection to the pod must be closed.
            let _ = to_client.shutdown().await;
        }
    }
    forwarder.abort();
    Ok(())
}

/// The name of the pod that a forward leads to now.
pub(crate) async fn pod(cluster: &Cluster, namespace: &str, to: &To) -> Result<String> {
    let labels = match to {
        To::Pod(name) => return Ok(name.clone()),
        To::Labelled(labels) => labels,
    };
    let pods = cluster.read_all::<Pod>(namespace, labels).await?;
    let ready = pods.iter().find(|pod| is_ready(pod));
    let ready = ready.with_context(|| format!("no pod with {labels} is ready"))?;
    Ok(ready.name_any())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_failed_accept_is_repeated_after_a_pause() {
        const FAILURES: u32 = 2;
        let attempts = AtomicU32::new(0);
        let started = std::time::Instant::now();
        let accepted = accept(|| async {
            match attempts.fetch_add(1, Ordering::Relaxed) {
                ..FAILURES => Err(io::Error::other("too many open files")),
                number => Ok(number),
            }
        });
        assert_eq!(accepted.await, FAILURES);
        assert!(started.elapsed() >= ACCEPT_PAUSE * FAILURES);
    }
}
