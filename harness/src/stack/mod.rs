//! Stacks: bring one up (or attach to one), hand back its [`Target`], take it down again.

pub mod artifacts;
mod changes;
pub mod cluster;
pub mod containers;
pub mod embedded;
mod envoy;
mod flawed;
mod gie;
pub mod kind;
pub mod kubernetes;
pub mod local;
mod lora;
mod outline;
mod own_epp;
mod own_gateway;
mod own_image;
pub mod parts;
mod planned;
mod ports;
mod process;
mod simulator;
pub mod tools;
pub mod workers;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use clap::ValueEnum;
use poolproof_fixtures::flaw::{Component as Flawed, Flaw};
use tokio::sync::Mutex;

use crate::evidence::served;
use crate::target::Target;
use crate::topology::Topology;

pub use crate::component::{Component, Step};
pub use outline::Outline;
pub use process::exec_child;

use parts::{EndpointPicker, Gateway, Parts};

/// The stacks that can be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StackKind {
    /// Stand-ins for every component, in this process, on loopback sockets.
    Embedded,
    /// Real upstream processes: one endpoint picker per pool, a gateway, model servers.
    Local,
    /// The same from container images, on a Docker engine.
    Containers,
    /// A kind cluster of our own, with the parts in it.
    Kind,
    /// A cluster that is already there: the parts are deployed into it, or what it has is read.
    Cluster,
    /// Whatever the target file names.
    Url,
}

/// What a stack is started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which stack.
    pub kind: StackKind,
    /// What it is to consist of; a `url` stack has its own.
    pub topology: Topology,
    /// The target file of a `url` stack.
    pub target_file: Option<PathBuf>,
    /// The defect to put in.
    pub flaw: Option<Flaw>,
    /// Seed of every random choice in stand-ins.
    pub seed: u64,
    /// What it is put together from.
    pub parts: Parts,
    /// The poolproof program itself, which serves its own parts as processes or in containers.
    pub program: PathBuf,
    /// What only stacks `local` and `containers` ask for.
    pub local: local::Options,
    /// What only a `kind` stack asks for.
    pub kind_options: kind::Options,
    /// What only a `cluster` stack asks for.
    pub cluster: cluster::Options,
}

/// A running stack. [`Stack::stop`] takes it down; dropping it does so too, without waiting.
pub struct Stack {
    /// Its name: the kind, and what distinguishes it.
    pub name: String,
    /// Its addresses.
    pub target: Target,
    /// What it consists of.
    pub components: Vec<Component>,
    /// How its start went.
    pub steps: Vec<Step>,
    running: Running,
    changes: Option<changes::Server>,
}

enum Running {
    Embedded(Box<embedded::Embedded>),
    Local(Arc<Mutex<local::Local>>),
    Kind(Box<kind::Kind>),
    Cluster(Box<cluster::Attached>),
    Url,
}

/// Tells how a start goes on, and measures its steps.
pub struct Progress<'a> {
    steps: Vec<Step>,
    since: Instant,
    tell: &'a mut (dyn FnMut(&str) + Send),
}

impl Progress<'_> {
    /// Ends the step that ran until now.
    pub fn done(&mut self, step: impl Into<String>) {
        let took: Duration = self.since.elapsed();
        self.since = Instant::now();
        let name = step.into();
        (self.tell)(&name);
        self.steps.push(Step {
            name,
            took_ms: took.as_millis() as u64,
        });
    }
}

/// Why a stack could not be had.
#[derive(Debug)]
pub enum StartError {
    /// What was asked for makes no sense: wrong use or a wrong file.
    Config(anyhow::Error),
    /// It was not there, or did not come up.
    Unavailable(anyhow::Error),
}

impl Stack {
    /// Brings a stack up. `tell` hears of each step that is done. A start that fails, or whose future is dropped, leaves
    /// nothing behind.
    pub async fn start(
        options: &Options,
        tell: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Self, StartError> {
        options.check().map_err(StartError::Config)?;
        let mut progress = Progress {
            steps: Vec::new(),
            since: Instant::now(),
            tell,
        };
        let started = match options.kind {
            StackKind::Embedded => {
                embedded::start(options, &mut progress)
                    .await
                    .map(|(target, components, it)| {
                        (target, components, Running::Embedded(Box::new(it)))
                    })
            }
            StackKind::Local | StackKind::Containers => local::start(options, &mut progress)
                .await
                .map(|(target, components, it)| {
                    (target, components, Running::Local(Arc::new(Mutex::new(it))))
                }),
            StackKind::Kind => kind::start(options, &mut progress)
                .await
                .map(|(target, components, it)| (target, components, Running::Kind(Box::new(it)))),
            StackKind::Cluster => {
                cluster::start(options, &mut progress)
                    .await
                    .map(|(target, components, it)| {
                        (target, components, Running::Cluster(Box::new(it)))
                    })
            }
            StackKind::Url => {
                let target = options.load_target().map_err(StartError::Config)?;
                reach(&target)
                    .await
                    .map(|()| (target, Vec::new(), Running::Url))
            }
        };
        let (mut target, components, running) = started.map_err(StartError::Unavailable)?;
        if options.kind != StackKind::Embedded {
            let named = served::are_named(&target).await;
            if !named.map_err(StartError::Unavailable)? {
                target.served_by_header = None;
            }
        }
        let changes = match running.operator() {
            Some(operator) => {
                let server = changes::serve(operator).await;
                Some(server.map_err(StartError::Unavailable)?)
            }
            None => None,
        };
        if let Some(server) = &changes {
            target.changes = Some(server.changes.clone());
        }
        Ok(Self {
            name: target.name.clone(),
            target,
            components,
            steps: progress.steps,
            running,
            changes,
        })
    }

    /// Copies what its parts have written into a folder, for somebody who wants to know why a case failed. Says whether there was
    /// anything to copy.
    pub async fn save_logs(&self, folder: &Path) -> Result<bool> {
        match &self.running {
            Running::Local(local) => local.lock().await.save_logs(folder),
            Running::Kind(kind) => kind.save_logs(folder).await,
            Running::Embedded(_) | Running::Cluster(_) | Running::Url => Ok(false),
        }
    }

    /// Takes down what was started, and waits until it is gone.
    pub async fn stop(self) {
        drop(self.changes);
        match self.running {
            Running::Embedded(embedded) => embedded.stop().await,
            // A change that is being made is waited for.
            Running::Local(local) => std::mem::take(&mut *local.lock().await).stop().await,
            // They wait until what they have made is gone.
            Running::Kind(kind) => drop(kind),
            Running::Cluster(cluster) => drop(cluster),
            Running::Url => {}
        }
    }
}

impl Running {
    fn operator(&self) -> Option<changes::Operator> {
        match self {
            Self::Embedded(embedded) => embedded.operator().map(changes::Operator::Embedded),
            Self::Local(local) => Some(changes::Operator::Local(local.clone())),
            Self::Kind(kind) => Some(changes::Operator::Kubernetes(kind.operator.clone())),
            Self::Cluster(cluster) => {
                let operator = cluster.operator.clone();
                operator.map(changes::Operator::Kubernetes)
            }
            Self::Url => None,
        }
    }
}

impl Options {
    fn check(&self) -> Result<()> {
        match (self.kind, self.flaw) {
            (StackKind::Url, Some(flaw)) => {
                bail!("--flaw {flaw}: a stack that is already there cannot be given a flaw")
            }
            (StackKind::Local | StackKind::Containers, _) => local::check(self),
            (StackKind::Kind, _) => kind::check(self),
            (StackKind::Cluster, _) => cluster::check(self),
            _ => Ok(()),
        }
    }

    fn load_target(&self) -> Result<Target> {
        let file = self.target_file.as_deref();
        Target::load(file.context("--stack url needs --target FILE")?)
    }
}

/// Fails if the parts of a cluster cannot be made to have the flaw.
fn kubernetes_can_have(options: &Options) -> Result<()> {
    let Some(flaw) = options.flaw else {
        return Ok(());
    };
    let parts = options.parts;
    let can = match flaw.component() {
        Flawed::Gateway => match parts.gateway {
            Gateway::Agentgateway => matches!(
                flaw,
                Flaw::Split8020 | Flaw::Split8713 | Flaw::WeightZeroLeak
            ),
            Gateway::Envoy => envoy::can_have(flaw),
            Gateway::Poolproof => true,
        },
        Flawed::EndpointPicker => match parts.epp {
            EndpointPicker::Gie => gie::can_have(flaw),
            EndpointPicker::Poolproof => true,
        },
    };
    if !can {
        bail!(
            "--flaw {flaw}: the {} of this stack cannot be made to have it; use --stack embedded",
            flaw.component()
        );
    }
    Ok(())
}

/// Fails unless somebody listens at the gateway's address.
async fn reach(target: &Target) -> Result<()> {
    const TIMEOUT: Duration = Duration::from_secs(5);
    let url = &target.url;
    let host = url.host_str().context("`url` has no host")?;
    let port = url.port_or_known_default().context("`url` has no port")?;
    let host = host.trim_matches(['[', ']']);
    let connected = tokio::time::timeout(TIMEOUT, tokio::net::TcpStream::connect((host, port)));
    let connected = match connected.await {
        Ok(connected) => connected.map(|_| ()).map_err(Into::into),
        Err(_) => Err(anyhow!("no answer within {TIMEOUT:?}")),
    };
    connected.with_context(|| {
        format!(
            "the gateway of target {:?} is not there: `url` {url}",
            target.name
        )
    })?;
    Ok(())
}
