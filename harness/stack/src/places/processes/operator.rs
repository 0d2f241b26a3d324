//! Changes of the local stack: processes are stopped and restarted, and the objects that endpoint pickers watch are
//! updated as a kubelet would.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use poolproof_fixtures::flaw::Flaw;
use tokio::sync::Mutex;

use super::kube::Kube;
use super::objects::{self, Standing};
use super::running::Local;
use super::{kinds_of_changes, model_server};
use crate::parts;
use crate::parts::gateway::Control;
use crate::place;
use crate::process::ProcessGroup;
use poolproof_model::change::{Change, Kind};
use poolproof_model::parts::Parts;
use poolproof_model::topology::Topology;

/// How long an endpoint serves on after its pod began to terminate, as with a preStop hook that waits: a picker may not
/// have noticed, and a gateway may be about to connect to it.
const PRE_STOP: Duration = Duration::from_secs(1);
/// How long an endpoint may finish its requests; the default `terminationGracePeriodSeconds` of Kubernetes.
const GRACE_PERIOD: Duration = Duration::from_secs(30);

/// State that changes need, besides the processes.
pub(super) struct Changing {
    /// The current topology.
    pub(super) topology: Topology,
    pub(super) parts: Parts,
    pub(super) flaw: Option<Flaw>,
    pub(super) control: Box<dyn Control>,
    pub(super) group: ProcessGroup,
    pub(super) http: reqwest::Client,
}

/// Makes the changes of a stack, one at a time.
pub(super) struct Operator(pub(super) Arc<Mutex<Local>>);

impl place::Operator for Operator {
    fn kinds(&self) -> BoxFuture<'_, Vec<Kind>> {
        async {
            // `None` once it is stopped.
            let local = self.0.lock().await;
            let parts = local.changing.as_ref().map(|changing| changing.parts);
            let mut kinds = parts.map_or_else(Vec::new, kinds_of_changes);
            let terminates = local.kube.as_ref().is_some_and(Kube::has_terminating_pods);
            kinds.retain(|kind| terminates || *kind != Kind::Terminate);
            kinds
        }
        .boxed()
    }

    fn make(&self, change: Change) -> BoxFuture<'_, Result<()>> {
        async { self.0.lock().await.make(change).await }.boxed()
    }
}

impl Local {
    async fn make(&mut self, change: Change) -> Result<()> {
        match change {
            Change::Picker { pool, running } => self.picker(&pool, running).await,
            Change::Endpoint { endpoint, running } => self.endpoint(&endpoint, running).await,
            Change::Member { endpoint, member } => {
                let standing = if member {
                    Standing::Ready
                } else {
                    Standing::NotSelected
                };
                self.stands(self.server(&endpoint)?, standing).await
            }
            Change::Ready { endpoint, ready } => {
                let standing = if ready {
                    Standing::Ready
                } else {
                    Standing::NotReady
                };
                self.stands(self.server(&endpoint)?, standing).await
            }
            Change::Terminate { endpoint, running } => {
                if running {
                    self.endpoint(&endpoint, true).await
                } else {
                    self.terminate(&endpoint).await
                }
            }
            Change::Moved { endpoint, moved } => {
                self.server_mut(&endpoint)?.move_to(moved)?;
                self.endpoint(&endpoint, true).await
            }
            Change::Ports { endpoint, open } => self.ports(&endpoint, open).await,
            Change::Weights { model, weights } => {
                let Changing {
                    topology,
                    flaw,
                    control: gateway,
                    http,
                    ..
                } = self.changing.as_mut().context("the stack is stopped")?;
                topology.set_weights(&model, &weights)?;
                gateway.weigh(topology, *flaw, http).await
            }
            Change::FailureMode { pool, open } => {
                let changing = self.changing.as_ref().context("the stack is stopped")?;
                let of_pool = self
                    .model_servers
                    .iter()
                    .filter(|server| server.pool == pool);
                let endpoints: Vec<SocketAddr> = of_pool.map(|server| server.address).collect();
                let gateway = &changing.control;
                gateway
                    .fail(&pool, open.then_some(endpoints.as_slice()), &changing.http)
                    .await
            }
            Change::Objective {
                objective,
                priority,
            } => {
                let changing = self.changing.as_ref().context("the stack is stopped")?;
                ensure!(
                    changing.topology.objectives.contains_key(&objective),
                    "there is no objective {objective:?}"
                );
                let group = parts::picker(changing.parts.epp).group();
                let named = (objective.as_str(), priority);
                let edited = |pool| objects::objective(pool, named, group, changing.flaw);
                let kube = self.kube.as_ref().context("the stack is stopped")?;
                kube.apply(changing.topology.pools().map(edited).collect())
                    .await
            }
        }
    }

    async fn picker(&mut self, pool: &str, running: bool) -> Result<()> {
        let changing = self.changing.as_ref().context("the stack is stopped")?;
        let picker = self.pickers.iter_mut().find(|picker| picker.pool == pool);
        let picker = picker.with_context(|| format!("there is no pool {pool:?}"))?;
        if !running {
            picker.stop().await;
            return Ok(());
        }
        picker.start(&changing.group).await?;
        picker.ready(&changing.http).await
    }

    async fn endpoint(&mut self, name: &str, running: bool) -> Result<()> {
        let changing = self.changing.as_ref().context("the stack is stopped")?;
        let servers = &mut self.model_servers;
        let number = servers.iter().position(|server| server.name == name);
        let number = number.with_context(|| format!("there is no endpoint {name:?}"))?;
        let server = &mut servers[number];
        if !running {
            server.kill();
            return self
                .stands(&self.model_servers[number], Standing::NotReady)
                .await;
        }
        server.start(&changing.group).await?;
        server.ready(&changing.http).await?;
        self.stands(&self.model_servers[number], Standing::Ready)
            .await?;
        let pool = &self.model_servers[number].pool;
        let picker = self.pickers.iter_mut().find(|picker| picker.pool == *pool);
        picker
            .context("its pool has no endpoint picker")?
            .ready(&changing.http)
            .await
    }

    /// Ends an endpoint as a kubelet ends a pod that is deleted: its preStop hook waits, and it gets SIGTERM.
    async fn terminate(&mut self, name: &str) -> Result<()> {
        self.stands(self.server(name)?, Standing::Terminating)
            .await?;
        tokio::time::sleep(PRE_STOP).await;
        self.server_mut(name)?.end(GRACE_PERIOD).await;
        let kube = self.kube.as_ref().context("the stack is stopped")?;
        // Each pool has the namespace of its name.
        kube.delete_pod(&self.server(name)?.pool, name);
        Ok(())
    }

    /// Takes the port of an endpoint out of its InferencePool, or puts it back.
    async fn ports(&mut self, name: &str, open: bool) -> Result<()> {
        let server = self.server_mut(name)?;
        server.open = open;
        let of_pool = server.pool.clone();
        let changing = self.changing.as_ref().context("the stack is stopped")?;
        let mut pools = changing.topology.pools();
        let pool = pools.find(|pool| pool.name == of_pool);
        let mut pickers = self.pickers.iter();
        let picker = pickers.find(|picker| picker.pool == of_pool);
        let picker = picker.context("its pool has no endpoint picker")?;
        let servers = self.model_servers.iter();
        let in_it = servers.filter(|server| server.pool == of_pool && server.open);
        let changed = objects::inference_pool(
            pool.context("its pool is gone")?,
            in_it.map(|server| server.address.port()),
            picker.address.port(),
        );
        let kube = self.kube.as_ref().context("the stack is stopped")?;
        kube.apply(vec![changed]).await
    }

    fn server(&self, name: &str) -> Result<&model_server::Server> {
        let mut servers = self.model_servers.iter();
        let server = servers.find(|server| server.name == name);
        server.with_context(|| format!("there is no endpoint {name:?}"))
    }

    fn server_mut(&mut self, name: &str) -> Result<&mut model_server::Server> {
        let mut servers = self.model_servers.iter_mut();
        let server = servers.find(|server| server.name == name);
        server.with_context(|| format!("there is no endpoint {name:?}"))
    }

    /// Updates the object that records an endpoint's membership in its pool.
    async fn stands(&self, server: &model_server::Server, standing: Standing) -> Result<()> {
        let changing = self.changing.as_ref().context("the stack is stopped")?;
        let kube = self.kube.as_ref().context("the stack is stopped")?;
        let pool = changing
            .topology
            .pools()
            .find(|pool| pool.name == server.pool);
        let pool = pool.context("its pool is gone")?;
        kube.apply(vec![objects::pod(
            pool,
            &server.name,
            server.address,
            standing,
        )])
        .await
    }
}
