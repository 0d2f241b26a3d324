//! The gateway in front: Envoy with GIE's body-based router, agentgateway, or the reference gateway.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use poolproof_fixtures::flaw::{Component, Flaw};
use url::Url;

use super::super::envoy::{self, Addresses};
use super::super::own_gateway;
use super::super::ports::Ports;
use super::super::process::{Nursery, Process};
use super::agentgateway;
use super::epp::Ports3;
use super::kube::{Kube, write};
use super::listening_on;
use super::objects::MODELS_NAMESPACE;
use super::programs::{OWN, Programs};
use crate::evidence;
use crate::topology::Topology;

const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// A running gateway.
pub(super) struct Running {
    /// Its processes, in the order in which they are to be stopped.
    pub(super) processes: Vec<Process>,
    pub(super) address: SocketAddr,
    /// How it is changed while it runs.
    pub(super) control: Control,
    /// What it is, by role.
    pub(super) versions: Vec<(&'static str, String)>,
}

/// How a running gateway is changed.
pub(super) enum Control {
    /// By its file, which it watches.
    Agentgateway {
        file: PathBuf,
        addresses: agentgateway::Addresses,
    },
    /// By the file of its routes; it looks when another is moved to its place.
    Envoy { routes: PathBuf },
    /// By a request to its management.
    Reference { management: SocketAddr },
}

impl Control {
    /// Makes its weights those of a topology.
    pub(super) async fn weigh(
        &self,
        topology: &Topology,
        flaw: Option<Flaw>,
        http: &reqwest::Client,
    ) -> Result<()> {
        match self {
            Self::Agentgateway { file, addresses } => {
                write(file, &agentgateway::text(topology, addresses, flaw))
            }
            Self::Envoy { routes } => {
                let new = routes.with_extension("new");
                write(&new, &envoy::routes_file(topology, flaw).to_string())?;
                std::fs::rename(&new, routes)
                    .with_context(|| format!("replacing {}", routes.display()))
            }
            Self::Reference { management } => own_gateway::weigh(http, *management, topology).await,
        }
    }

    /// Makes a pool fail open to these endpoints, or closed.
    pub(super) async fn fail(
        &self,
        pool: &str,
        open_to: Option<&[SocketAddr]>,
        http: &reqwest::Client,
    ) -> Result<()> {
        let Self::Reference { management } = self else {
            bail!("the failure mode of pools cannot be changed here");
        };
        own_gateway::fail(http, *management, pool, open_to).await
    }
}

/// Starts the body-based router and Envoy, and waits until both serve.
pub(super) async fn start_envoy(
    programs: &Programs,
    nursery: &Nursery,
    ports: &mut Ports,
    kube: &Kube,
    (topology, pickers, flaw): (&Topology, &[SocketAddr], Option<Flaw>),
) -> Result<Running> {
    let bbr_ports = Ports3::take(ports)?;
    let mut launch = programs.launch("bbr")?;
    launch
        .command
        .env("KUBECONFIG", &kube.kubeconfig)
        .env("NAMESPACE", MODELS_NAMESPACE)
        .args(bbr_ports.flags())
        .args(["--streaming", "--secure-serving=false"])
        .args(["--metrics-endpoint-auth=false", "--tracing=false"]);
    let mut bbr = nursery.launch("bbr", &launch).await?;

    let addresses = Addresses {
        listener: ports.take()?,
        admin: ports.take()?,
        bbr: bbr_ports.grpc.into(),
        pickers: pickers.iter().map(|it| (*it).into()).collect(),
    };
    let file = nursery.logs.join("envoy.json");
    let routes = nursery.logs.join("routes.json");
    write(&routes, &envoy::routes_file(topology, flaw).to_string())?;
    let config = envoy::bootstrap(topology, &addresses, &routes, flaw);
    write(&file, &format!("{config:#}"))?;
    let mut launch = programs.launch("envoy")?;
    launch.command.arg("-c").arg(&file).args([
        "--concurrency",
        "2",
        "-l",
        "warning",
        "--disable-hot-restart",
    ]);
    let mut gateway = nursery.launch("envoy", &launch).await?;

    for (process, what, address) in [
        (&mut bbr, "gRPC health", bbr_ports.health()),
        (&mut gateway, "listener", addresses.listener),
    ] {
        let connected = || async move { tokio::net::TcpStream::connect(address).await.ok() };
        process.wait_for(what, READY_TIMEOUT, connected).await?;
    }
    let version = programs.version("envoy", "--version")?;
    let version = version.split("version:").last().unwrap_or_default();
    Ok(Running {
        processes: vec![gateway, bbr],
        address: addresses.listener,
        control: Control::Envoy { routes },
        versions: vec![
            (
                "gateway",
                format!("Envoy{version}{}", programs.origin("envoy")),
            ),
            (
                "body-based-router",
                format!(
                    "Gateway API Inference Extension body-based router{}",
                    programs.origin("bbr")
                ),
            ),
        ],
    })
}

/// Starts agentgateway, and waits until it says that it is ready and listens.
pub(super) async fn start_agentgateway(
    programs: &Programs,
    nursery: &Nursery,
    ports: &mut Ports,
    http: &reqwest::Client,
    (topology, pickers, flaw): (&Topology, &[SocketAddr], Option<Flaw>),
) -> Result<Running> {
    let addresses = agentgateway::Addresses {
        listener: ports.take()?,
        admin: ports.take()?,
        stats: ports.take()?,
        readiness: ports.take()?,
        pickers: pickers.to_vec(),
    };
    let file = nursery.logs.join("agentgateway.yaml");
    write(&file, &agentgateway::text(topology, &addresses, flaw))?;
    let mut launch = programs.launch("agentgateway")?;
    launch.command.arg("-f").arg(&file);
    let mut process = nursery.launch("agentgateway", &launch).await?;

    let ready: Url = format!("http://{}/healthz/ready", addresses.readiness).parse()?;
    let (ready, listener) = (&ready, addresses.listener);
    let serves = || async move {
        evidence::get(http, ready).await.ok()?;
        let connected = tokio::net::TcpStream::connect(listener).await;
        connected.ok().map(|_| ())
    };
    process.wait_for("readiness", READY_TIMEOUT, serves).await?;
    let version = programs.version("agentgateway", "-V")?;
    let origin = programs.origin("agentgateway");
    Ok(Running {
        processes: vec![process],
        address: addresses.listener,
        control: Control::Agentgateway { file, addresses },
        versions: vec![("gateway", format!("agentgateway{version}{origin}"))],
    })
}

/// Starts the reference gateway.
pub(super) async fn start_reference(
    programs: &Programs,
    nursery: &Nursery,
    ports: &mut Ports,
    (topology, pickers, flaw): (&Topology, &[SocketAddr], Option<Flaw>),
    seed: u64,
) -> Result<Running> {
    let management = ports.take()?;
    let mut pickers = pickers.iter();
    let mut launch = programs.launch(OWN)?;
    let command = &mut launch.command;
    command.args([
        "serve",
        "gateway",
        "--listen",
        "127.0.0.1:0",
        "--management-listen",
        &management.to_string(),
    ]);
    command.arg("--seed").arg(seed.to_string());
    for model in &topology.models {
        let pools: Vec<String> = model
            .pools
            .iter()
            .zip(&mut pickers)
            .map(|(pool, picker)| format!("{}:{}@{picker}", pool.name, pool.weight))
            .collect();
        command.arg("--route");
        command.arg(format!("{}={}", model.name, pools.join(",")));
        for adapter in &model.adapters {
            command.arg(format!("--adapter={adapter}={}", model.name));
        }
    }
    if let Some(flaw) = flaw.filter(|flaw| flaw.component() == Component::Gateway) {
        command.args(["--flaw", flaw.name()]);
    }
    let mut process = nursery.launch("gateway", &launch).await?;
    let address = listening_on(&mut process, READY_TIMEOUT).await?;
    Ok(Running {
        processes: vec![process],
        address,
        control: Control::Reference { management },
        versions: vec![(
            "gateway",
            format!(
                "poolproof reference gateway {}{}",
                env!("CARGO_PKG_VERSION"),
                programs.origin(OWN)
            ),
        )],
    })
}
