//! Changes of the embedded stack: servers are restarted or reconfigured.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use poolproof_fixtures::epp::EndpointPicker;
use poolproof_fixtures::gateway::FailureMode;
use poolproof_fixtures::model_server::{self, ModelServer};
use tokio::net::TcpSocket;
use tokio::runtime::Handle;
use tokio::sync::Mutex;

use super::{Home, Part, READY_TIMEOUT, Servers, State, any_port};
use crate::place;
use poolproof_model::change::{Change, Kind};

/// How long an endpoint serves on after its pool has lost it, as with a preStop hook that waits: a gateway may be about
/// to connect to it.
const PRE_STOP: Duration = Duration::from_millis(100);
/// How long an endpoint may finish its requests; the default `terminationGracePeriodSeconds` of Kubernetes.
const GRACE_PERIOD: Duration = Duration::from_secs(30);
/// The time that a picker has to follow an endpoint to its new address before a change counts as made.
const FOLLOW_TIMEOUT: Duration = Duration::from_secs(1);

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
            Change::Terminate { endpoint, running } => self.terminate(&endpoint, running).await,
            Change::Ready { endpoint, ready } => {
                let picker = self
                    .picker_of(&endpoint)
                    .context("no such endpoint is picked from")?;
                picker.set_ready(&endpoint, ready)
            }
            Change::Moved { endpoint, moved } => self.moved(&endpoint, moved).await,
            Change::Ports { endpoint, open } => {
                let picker = self
                    .picker_of(&endpoint)
                    .context("no such endpoint is picked from")?;
                picker.set_open(&endpoint, open)
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
        let server = self.server(name)?;
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

    /// Ends an endpoint as Kubernetes ends a pod: its pool loses it, its preStop hook waits, and it drains. Or starts it.
    async fn terminate(&mut self, name: &str, running: bool) -> Result<()> {
        if running {
            self.endpoint(name, true).await?;
        }
        if let Some(picker) = self.picker_of(name) {
            picker.set_leaving(name, !running)?;
        }
        let server = self.server(name)?;
        match (running, server.state.take()) {
            (false, State::Up(serving)) => {
                tokio::time::sleep(PRE_STOP).await;
                serving.drain(GRACE_PERIOD).await;
                server.state = State::Down(hold(&[server.config.listen])?);
            }
            (_, as_it_was) => server.state = as_it_was,
        }
        Ok(())
    }

    /// Replaces an endpoint by one at another address, or by one at its first address.
    async fn moved(&mut self, name: &str, moved: bool) -> Result<()> {
        if moved == self.moved.contains_key(name) {
            return Ok(());
        }
        let server = self.server(name)?;
        let left = server.config.listen;
        if let State::Up(serving) = server.state.take() {
            serving.stop().await;
        }
        let next = if moved {
            let home = Home {
                address: left,
                _held: hold(&[left])?,
            };
            self.moved.insert(name.to_owned(), home);
            any_port()
        } else {
            self.moved.remove(name).map_or(left, |home| home.address)
        };
        let server = self.server(name)?;
        server.config.listen = next;
        let since = Instant::now();
        let started = ModelServer::start(server.config.clone()).await?;
        let address = started.address();
        server.config.listen = address;
        server.state = State::Up(started);
        let known = self
            .pickers
            .iter_mut()
            .flat_map(|picker| &mut picker.config.endpoints);
        for endpoint in known.filter(|endpoint| endpoint.name == name) {
            endpoint.address = address;
        }
        if let Some(picker) = self.picker_of(name) {
            picker.set_address(name, address)?;
            // When a picker follows is for cases to measure: one that never does is no error of this change.
            let _ = picker.ready_since(Some(since), FOLLOW_TIMEOUT).await;
        }
        Ok(())
    }

    fn server(&mut self, name: &str) -> Result<&mut Part<model_server::Config, ModelServer>> {
        let mut servers = self.model_servers.iter_mut();
        let server = servers.find(|server| server.config.name == name);
        server.with_context(|| format!("there is no endpoint {name:?}"))
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
