//! Changes of the embedded stack: its servers are stopped and started again, or told.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use poolproof_fixtures::epp::EndpointPicker;
use poolproof_fixtures::gateway::FailureMode;
use poolproof_fixtures::model_server::ModelServer;
use tokio::runtime::Handle;
use tokio::sync::Mutex;

use super::{READY_TIMEOUT, Servers};
use crate::change::Change;

/// Makes changes, on the threads of the servers.
pub(in crate::stack) struct Operator {
    servers: Arc<Mutex<Servers>>,
    threads: Handle,
}

impl Operator {
    pub(super) fn new(servers: Arc<Mutex<Servers>>, threads: Handle) -> Self {
        Self { servers, threads }
    }

    /// Makes a change.
    pub(in crate::stack) async fn make(&self, change: Change) -> Result<()> {
        let servers = self.servers.clone();
        let made = async move { servers.lock().await.make(change).await };
        self.threads.spawn(made).await?
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
                let picker = self.pickers.iter().find(|it| it.config.pool == pool);
                let picker = picker.with_context(|| format!("there is no pool {pool:?}"))?;
                let endpoints = picker.config.endpoints.iter().map(|it| it.address);
                let mode = match open {
                    true => FailureMode::FailOpen(endpoints.collect()),
                    false => FailureMode::FailClose,
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
                    if let Some(running) = &picker.running {
                        running.set_priority(&objective, priority)?;
                    }
                }
                Ok(())
            }
        }
    }

    async fn picker(&mut self, pool: &str, running: bool) -> Result<()> {
        let picker = self.pickers.iter_mut().find(|it| it.config.pool == pool);
        let picker = picker.with_context(|| format!("there is no pool {pool:?}"))?;
        match (running, picker.running.take()) {
            (true, None) => {
                let started = EndpointPicker::start(picker.config.clone()).await?;
                picker.running.insert(started).ready(READY_TIMEOUT).await
            }
            (false, Some(serving)) => {
                serving.stop().await;
                Ok(())
            }
            (_, as_it_was) => {
                picker.running = as_it_was;
                Ok(())
            }
        }
    }

    async fn endpoint(&mut self, name: &str, running: bool) -> Result<()> {
        let server = self
            .model_servers
            .iter_mut()
            .find(|it| it.config.name == name);
        let server = server.with_context(|| format!("there is no endpoint {name:?}"))?;
        match (running, server.running.take()) {
            (true, None) => {
                let since = Instant::now();
                server.running = Some(ModelServer::start(server.config.clone()).await?);
                match self.picker_of(name) {
                    Some(picker) => picker.ready_since(Some(since), READY_TIMEOUT).await,
                    None => Ok(()),
                }
            }
            (false, Some(serving)) => {
                serving.stop().await;
                Ok(())
            }
            (_, as_it_was) => {
                server.running = as_it_was;
                Ok(())
            }
        }
    }

    /// The running endpoint picker of the pool that an endpoint was started in.
    fn picker_of(&self, endpoint: &str) -> Option<&EndpointPicker> {
        let picker = self.pickers.iter().find(|it| {
            let endpoints = &it.config.endpoints;
            endpoints.iter().any(|it| it.name == endpoint)
        });
        picker?.running.as_ref()
    }
}
