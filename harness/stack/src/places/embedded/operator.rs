//! Changes of the embedded stack: servers are restarted or reconfigured.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use poolproof_fixtures::epp::EndpointPicker;
use poolproof_fixtures::gateway::FailureMode;
use poolproof_fixtures::model_server::ModelServer;
use tokio::net::TcpSocket;
use tokio::runtime::Handle;
use tokio::sync::Mutex;

use super::{READY_TIMEOUT, Servers, State};
use crate::place;
use poolproof_model::change::{Change, Kind};

/// Makes changes on the threads of the servers.
pub(super) struct Operator {
    servers: Arc<Mutex<Servers>>,
    threads: Handle,
}

impl Operator {
    pub(super) fn new(servers: Arc<Mutex<Servers>>, threads: Handle) -> Self {
        Self { servers, threads }
    }
}

impl place::Operator for Operator {
    fn kinds(&self) -> BoxFuture<'_, Vec<Kind>> {
        ready(Kind::ALL.into()).boxed()
    }

    fn make(&self, change: Change) -> BoxFuture<'_, Result<()>> {
        let servers = self.servers.clone();
        let made = async move { servers.lock().await.make(change).await };
        let made = self.threads.spawn(made);
        async { made.await? }.boxed()
    }
}

impl Servers {
    async fn make(&mut self, change: Change) -> Result<()> {
        match change {
            Change::Picker { pool, running } => self.picker(&pool, running).await,
            Change::Endpoint { endpoint, running } => self.endpoint(&endpoint, running).await,
            Change::Member { endpoint, member } => {
                let picker = self
                    .picker_of(&endpoint)
                    .context("no such endpoint is picked from")?;
                picker.set_member(&endpoint, member)
            }
            Change::Weights { model, weights } => {
                let gateway = self.gateway.as_ref().context("the stack is stopped")?;
                gateway.set_weights(&model, &weights)
            }
            Change::FailureMode { pool, open } => {
                let gateway = self.gateway.as_ref().context("the stack is stopped")?;
                let picker = self
                    .pickers
                    .iter()
                    .find(|picker| picker.config.pool == pool);
                let picker = picker.with_context(|| format!("there is no pool {pool:?}"))?;
                let endpoints = picker
                    .config
                    .endpoints
                    .iter()
                    .map(|endpoint| endpoint.address);
                let mode = if open {
                    FailureMode::FailOpen(endpoints.collect())
                } else {
                    FailureMode::FailClose
                };
                gateway.set_failure_mode(&pool, mode)
            }
            Change::Objective {
                objective,
                priority,
            } => {
                for picker in &mut self.pickers {
                    let known = picker.config.objectives.get_mut(&objective);
                    *known.with_context(|| format!("there is no objective {objective:?}"))? =
                        priority;
                    if let Some(running) = picker.state.up() {
                        running.set_priority(&objective, priority)?;
                    }
                }
                Ok(())
            }
        }
    }

    async fn picker(&mut self, pool: &str, running: bool) -> Result<()> {
        let picker = self
            .pickers
            .iter_mut()
            .find(|picker| picker.config.pool == pool);
        let picker = picker.with_context(|| format!("there is no pool {pool:?}"))?;
        match (running, picker.state.take()) {
            (true, State::Down(held)) => {
                drop(held);
                let started = EndpointPicker::start(picker.config.clone()).await?;
                let ready = started.ready(READY_TIMEOUT).await;
                picker.state = State::Up(started);
                ready
            }
            (false, State::Up(serving)) => {
                serving.stop().await;
                let addresses = [picker.config.listen, picker.config.metrics_listen];
                picker.state = State::Down(hold(&addresses)?);
                Ok(())
            }
            (_, as_it_was) => {
                picker.state = as_it_was;
                Ok(())
            }
        }
    }

    async fn endpoint(&mut self, name: &str, running: bool) -> Result<()> {
        let server = self
            .model_servers
            .iter_mut()
            .find(|server| server.config.name == name);
        let server = server.with_context(|| format!("there is no endpoint {name:?}"))?;
        match (running, server.state.take()) {
            (true, State::Down(held)) => {
                let since = Instant::now();
                drop(held);
                server.state = State::Up(ModelServer::start(server.config.clone()).await?);
                match self.picker_of(name) {
                    Some(picker) => picker.ready_since(Some(since), READY_TIMEOUT).await,
                    None => Ok(()),
                }
            }
            (false, State::Up(serving)) => {
                serving.stop().await;
                server.state = State::Down(hold(&[server.config.listen])?);
                Ok(())
            }
            (_, as_it_was) => {
                server.state = as_it_was;
                Ok(())
            }
        }
    }

    /// The running endpoint picker of the pool that an endpoint was started in.
    fn picker_of(&self, endpoint: &str) -> Option<&EndpointPicker> {
        let picker = self.pickers.iter().find(|picker| {
            let endpoints = &picker.config.endpoints;
            endpoints.iter().any(|known| known.name == endpoint)
        });
        picker?.state.up()
    }
}

/// Binds addresses without listening. Connections are refused, and the system does not assign the ports to anything
/// else. On a machine with many connections and servers it would reassign them within seconds.
fn hold(addresses: &[SocketAddr]) -> Result<Vec<TcpSocket>> {
    let held = addresses.iter().map(|address| {
        let socket = TcpSocket::new_v4()?;
        // Closed connections may still linger on these ports.
        socket.set_reuseaddr(true)?;
        let bound = socket.bind(*address);
        bound.with_context(|| format!("holding {address}, whose server is down"))?;
        Ok(socket)
    });
    held.collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::net::TcpStream;

    use super::*;
    use poolproof_model::topology::Topology;

    #[tokio::test]
    async fn a_server_that_is_down_refuses_and_comes_back_at_its_address() {
        let mut servers = Servers::default();
        servers.start(&Topology::default(), None, 1).await.unwrap();
        let pool = servers.pickers[0].config.pool.clone();
        let endpoint = servers.model_servers[0].config.name.clone();
        let addresses = [
            servers.pickers[0].config.listen,
            servers.pickers[0].config.metrics_listen,
            servers.model_servers[0].config.listen,
        ];
        for running in [false, true] {
            let picker = Change::Picker {
                pool: pool.clone(),
                running,
            };
            let endpoint = Change::Endpoint {
                endpoint: endpoint.clone(),
                running,
            };
            // A picker is up when it has metrics of its endpoints.
            servers.make(endpoint).await.unwrap();
            servers.make(picker).await.unwrap();
            for address in addresses {
                assert_eq!(TcpStream::connect(address).await.is_ok(), running);
                // A bind to any free port never returns one that fails here.
                let other = TcpSocket::new_v4().unwrap();
                assert!(other.bind(address).is_err(), "{address} is not held");
            }
        }
        servers.stop().await;
    }
}
