//! The stacks of real upstream programs: endpoint pickers of GIE v1.5.0, a gateway in front, model servers behind. `local` runs them as
//! processes of this machine, `containers` as containers; all else is the same.

mod agentgateway;
mod epp;
mod gateway;
mod kube;
mod model_server;
mod objects;
mod operator;
mod programs;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use poolproof_fixtures::flaw::{Component as Flawed, Flaw};
use url::Url;

use super::containers::Containers;
use super::parts::{self, EndpointPicker, Gateway, Parts};
use super::{Component, Progress, StackKind, envoy, gie};
use crate::client::{self, Api, Client, Connections, Request};
use crate::evidence::served;
use crate::target::{self, Target};

pub(super) use operator::kinds_of_changes;
pub use programs::missing;

use super::ports::Ports;
use super::process::{Folder, Nursery, Process};
use kube::Kube;
use model_server::Endpoints;
use programs::Programs;

const READY_TIMEOUT: Duration = Duration::from_secs(30);
/// The limit of the reference gateway, and agentgateway's default; Envoy in this configuration has none.
const BODY_LIMIT_BYTES: usize = 2 << 20;

/// What only a local stack asks for.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the upstream programs are; `None`: the cache folder that `ci/upstream/build` fills, then `PATH`.
    pub bin_dir: Option<PathBuf>,
    /// The Kubernetes API that endpoint pickers watch.
    pub kube_api: KubeApi,
    /// Stack `containers`: a folder from which alone definitions and images are taken.
    pub artifacts: Option<PathBuf>,
}

/// The Kubernetes API of a local stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum KubeApi {
    /// A stand-in that serves just what endpoint pickers and the body-based router ask for.
    StandIn,
    /// kube-apiserver and etcd, without a kubelet.
    Real,
}

/// The processes of a running local stack.
#[derive(Default)]
pub struct Local {
    gateway: Vec<Process>,
    pickers: Vec<epp::Picker>,
    model_servers: Vec<model_server::Server>,
    kube: Option<Kube>,
    /// What changes take; `None` until it has started.
    changing: Option<operator::Changing>,
    // In this order: what is left of the containers is removed before the folder that they write into.
    containers: Option<Containers>,
    /// What processes write; gone with the stack.
    folder: Option<Folder>,
}

/// Fails if what was asked for cannot be put together.
pub fn check(options: &super::Options) -> Result<()> {
    if let Some(flaw) = options.flaw
        && !can_have(options.parts, flaw)
    {
        bail!(
            "--flaw {flaw}: no real {} can be made to have it; use --stack embedded",
            flaw.component()
        );
    }
    for pool in options.topology.pools() {
        ensure!(
            pool.endpoints <= objects::ENDPOINTS_MAX,
            "pool {:?}: `endpoints` is {}: this stack takes at most {}, the ports that an InferencePool may have",
            pool.name,
            pool.endpoints,
            objects::ENDPOINTS_MAX
        );
    }
    Ok(())
}

/// Flaws of the gateway are put into its configuration, some of the endpoint picker into its own or its objectives.
fn can_have(parts: Parts, flaw: Flaw) -> bool {
    match flaw.component() {
        Flawed::Gateway => match parts.gateway {
            Gateway::Agentgateway => agentgateway::can_have(flaw),
            Gateway::Envoy => envoy::can_have(flaw),
            Gateway::Poolproof => true,
        },
        Flawed::EndpointPicker => match parts.epp {
            EndpointPicker::Gie => gie::can_have(flaw),
            EndpointPicker::Poolproof => true,
        },
    }
}

/// Starts all processes.
pub async fn start(
    options: &super::Options,
    progress: &mut Progress<'_>,
) -> Result<(Target, Vec<Component>, Local)> {
    let mut local = Local::default();
    match local.start(options, progress).await {
        Ok((target, components)) => Ok((target, components, local)),
        Err(error) => {
            local.stop().await;
            Err(error)
        }
    }
}

impl Local {
    async fn start(
        &mut self,
        options: &super::Options,
        progress: &mut Progress<'_>,
    ) -> Result<(Target, Vec<Component>)> {
        let (nursery, folder) = Nursery::in_new_folder(options.program.clone())?;
        self.folder = Some(folder);
        let programs = &Programs::of(options, &nursery).await?;
        if options.kind == StackKind::Containers {
            self.containers = Some(Containers::of(&nursery)?);
            progress.done("images");
        }
        let topology = &options.topology;
        let mut ports = Ports::new();
        let http = client::http(usize::MAX)?;

        let kube = kube::start(options.local.kube_api, programs, &nursery, &mut ports).await?;
        let kube = self.kube.insert(kube);
        progress.done("Kubernetes API");

        let with = (&nursery, &mut ports, &http);
        let endpoints =
            model_server::start_all(options, programs, with, &mut self.model_servers).await?;
        progress.done("model servers");

        let parts = options.parts;
        for pool in topology.pools() {
            let at = epp::Ports3::take(&mut ports)?;
            let of_pool = &endpoints[pool.name.as_str()];
            let port = at.grpc.port();
            let objects = objects::of_pool(topology, pool, of_pool, port, options.flaw);
            kube.apply(objects).await?;
            let plan = epp::Plan {
                which: parts.epp,
                topology,
                pool,
                endpoints: of_pool,
                kubeconfig: &kube.kubeconfig,
                flaw: options.flaw,
            };
            let mut picker = epp::picker(&nursery, programs, &at, &plan)?;
            picker.start(&nursery).await?;
            self.pickers.push(picker);
        }
        let models = topology.models.iter();
        let models =
            models.map(|model| gie::known_model(model, objects::MODELS_NAMESPACE, options.flaw));
        kube.apply(models.collect()).await?;
        for picker in &mut self.pickers {
            picker.ready(&http).await?;
        }
        progress.done("endpoint pickers");

        let pickers = &self.pickers;
        let addresses: Vec<SocketAddr> = pickers.iter().map(|picker| picker.address).collect();
        let plan = (topology, addresses.as_slice(), options.flaw);
        let (at, ports) = (&nursery, &mut ports);
        let running = match parts.gateway {
            Gateway::Agentgateway => {
                gateway::start_agentgateway(programs, at, ports, &http, plan).await?
            }
            Gateway::Envoy => gateway::start_envoy(programs, at, ports, kube, plan).await?,
            Gateway::Poolproof => {
                gateway::start_reference(programs, at, ports, plan, options.seed).await?
            }
        };
        self.gateway = running.processes;
        for model in &topology.models {
            first_answer(&mut self.gateway, running.address, &model.name).await?;
        }
        progress.done("gateway, to the first answer for each model");

        let mut components = vec![component("kube-api", kube.version.clone())];
        if let Some(picker) = self.pickers.first() {
            components.push(component(
                "epp",
                picker.version(parts.epp, programs, &http).await,
            ));
        }
        let server = model_server::version(parts.model_server, programs)?;
        components.push(component("model-server", server));
        components.extend(
            running
                .versions
                .into_iter()
                .map(|(role, it)| component(role, it)),
        );
        let metrics = self
            .pickers
            .iter()
            .map(|picker| picker.metrics.clone())
            .collect();
        self.changing = Some(operator::Changing {
            topology: topology.clone(),
            parts,
            flaw: options.flaw,
            control: running.control,
            nursery,
            http,
        });
        let target = target(options, running.address, metrics, &endpoints)?;
        Ok((target, components))
    }

    /// Copies the output of all processes; what else lies beside it may be secret.
    pub(super) fn save_logs(&self, to: &Path) -> Result<bool> {
        let Some(from) = &self.folder else {
            return Ok(false);
        };
        std::fs::create_dir_all(to).with_context(|| format!("making {}", to.display()))?;
        for entry in std::fs::read_dir(from.path())? {
            let file = entry?.path();
            let is_output = file
                .extension()
                .is_some_and(|it| it == "out" || it == "err");
            if let Some(name) = file.file_name()
                && is_output
            {
                std::fs::copy(&file, to.join(name))
                    .with_context(|| format!("copying {}", file.display()))?;
            }
        }
        Ok(true)
    }

    /// Stops all processes and waits until they are gone, the side of the client first.
    pub async fn stop(mut self) {
        for process in self.gateway {
            process.stop().await;
        }
        for picker in &mut self.pickers {
            picker.stop().await;
        }
        for server in &mut self.model_servers {
            server.stop().await;
        }
        if let Some(kube) = self.kube {
            kube.stop().await;
        }
    }
}

/// Where a component of poolproof says that it listens.
pub(super) async fn listening_on(process: &mut Process, timeout: Duration) -> Result<SocketAddr> {
    let output = process.stdout();
    let listening = || {
        let text = std::fs::read_to_string(&output).unwrap_or_default();
        let address = text
            .lines()
            .find_map(|line| line.strip_prefix("listening on "));
        let address = address.and_then(|address| address.parse().ok());
        async move { address }
    };
    process.wait_for("address", timeout, listening).await
}

/// Waits until an endpoint answers a request for a model: a gateway that listens may not know its models yet.
async fn first_answer(gateway: &mut [Process], address: SocketAddr, model: &str) -> Result<()> {
    let url = format!("http://{address}").parse()?;
    let client = Client::new("first", &url, Connections::NewPerRequest, Arc::default())?;
    let served = || {
        let request = Request::new(Api::Completions, model, 1, &mut rand::rng());
        async {
            let exchange = client.send(request).await;
            served::is_by_an_endpoint(&exchange).then_some(())
        }
    };
    match gateway {
        [process, ..] => {
            let what = format!("answer for model {model}");
            process.wait_for(&what, READY_TIMEOUT, served).await
        }
        [] => Ok(()),
    }
}

fn target(
    options: &super::Options,
    gateway: SocketAddr,
    metrics: Vec<Url>,
    endpoints: &Endpoints<'_>,
) -> Result<Target> {
    let mut metrics = metrics.into_iter();
    let mut models = Vec::new();
    for model in &options.topology.models {
        let mut pools = Vec::new();
        for pool in &model.pools {
            let endpoints = endpoints[pool.name.as_str()].iter().map(|(name, address)| {
                Ok(target::Endpoint {
                    name: name.clone(),
                    url: Some(format!("http://{address}").parse()?),
                    control: model_server::control(options.parts.model_server, *address)?,
                })
            });
            pools.push(target::Pool {
                name: pool.name.clone(),
                weight: pool.weight,
                epp_metrics: metrics.next(),
                flow_control: Some(pool.flow_control),
                endpoints: endpoints.collect::<Result<_>>()?,
            });
        }
        models.push(target::Model {
            name: model.name.clone(),
            adapters: model.adapters.clone(),
            pools,
        });
    }
    let body_limit_bytes = match options.parts.gateway {
        Gateway::Agentgateway | Gateway::Poolproof => Some(BODY_LIMIT_BYTES),
        Gateway::Envoy => None,
    };
    let name = parts::name(options.kind);
    let gateway_name = parts::name(options.parts.gateway);
    Ok(Target {
        name: format!("{name} ({gateway_name})"),
        url: format!("http://{gateway}").parse()?,
        changes: None,
        objective_header: target::GIE_OBJECTIVE_HEADER.to_owned(),
        served_by_header: target::served_by_header(),
        body_limit_bytes,
        models,
        objectives: options.topology.objectives.clone(),
    })
}

fn component(role: &str, version: String) -> Component {
    Component {
        role: role.to_owned(),
        version,
    }
}
