//! The endpoint pickers, one process for each pool: GIE's, or the reference one.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use poolproof_fixtures::flaw::{Component, Flaw};
use url::Url;

use super::super::gie;
use super::super::own_epp;
use super::super::parts::EndpointPicker;
use super::super::ports::Ports;
use super::super::process::{Launch, Nursery, Process};
use super::programs::{OWN, Programs};
use super::{kube, objects};
use crate::evidence;
use crate::topology::{Pool, Topology};

const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// The endpoint picker of a pool.
#[derive(Debug)]
pub(super) struct Picker {
    pub(super) address: SocketAddr,
    pub(super) metrics: Url,
    pub(super) pool: String,
    endpoints: usize,
    launch: Launch,
    /// `None`: it is down.
    process: Option<Process>,
}

/// What a picker of a pool is made of.
pub(super) struct Plan<'a> {
    pub(super) which: EndpointPicker,
    pub(super) topology: &'a Topology,
    pub(super) pool: &'a Pool,
    /// Names and addresses of the pool's endpoints.
    pub(super) endpoints: &'a [(String, SocketAddr)],
    pub(super) kubeconfig: &'a Path,
    pub(super) flaw: Option<Flaw>,
}

/// The endpoint picker of a pool, which [`Picker::start`] starts.
pub(super) fn picker(
    nursery: &Nursery,
    programs: &Programs,
    ports: &Ports3,
    plan: &Plan<'_>,
) -> Result<Picker> {
    let launch = match plan.which {
        EndpointPicker::Gie => gie_picker(nursery, programs, ports, plan)?,
        EndpointPicker::Poolproof => reference(programs, ports, plan)?,
    };
    Ok(Picker {
        address: ports.grpc,
        metrics: format!("http://{}/metrics", ports.metrics).parse()?,
        pool: plan.pool.name.clone(),
        endpoints: plan.pool.endpoints,
        launch,
        process: None,
    })
}

fn gie_picker(
    nursery: &Nursery,
    programs: &Programs,
    ports: &Ports3,
    plan: &Plan<'_>,
) -> Result<Launch> {
    let pool = plan.pool;
    let name = process_name(&pool.name);
    let config_file = nursery.logs.join(format!("{name}.yaml"));
    let config = gie::config(plan.topology, pool, plan.flaw);
    kube::write(&config_file, &config.to_string())?;
    let mut launch = programs.launch("epp")?;
    launch
        .command
        .env("KUBECONFIG", plan.kubeconfig)
        .args(["--pool-name", &pool.name])
        .args(["--pool-namespace", objects::namespace(pool)])
        .arg("--config-file")
        .arg(config_file)
        .args(ports.flags())
        .args(["--secure-serving=false", "--metrics-endpoint-auth=false"])
        .args(["--tracing=false", "--enable-pprof=false", "--v", "1"])
        .arg(format!(
            "--refresh-metrics-interval={}",
            gie::scrape_interval(pool)
        ))
        .arg("--refresh-prometheus-metrics-interval=1s");
    Ok(launch)
}

fn reference(programs: &Programs, ports: &Ports3, plan: &Plan<'_>) -> Result<Launch> {
    let pool = plan.pool;
    let (grpc, metrics) = (ports.grpc.to_string(), ports.metrics.to_string());
    let address = |name: &str| {
        let mut endpoints = plan.endpoints.iter();
        let known = endpoints.find(|(it, _)| it == name);
        known.map_or_else(String::new, |(_, address)| address.to_string())
    };
    let namespace = objects::namespace(pool);
    let mut launch = programs.launch(OWN)?;
    launch.command.args(own_epp::args(
        plan.topology,
        pool,
        namespace,
        (&grpc, &metrics),
        address,
    ));
    if let Some(flaw) = plan.flaw
        && flaw.component() == Component::EndpointPicker
    {
        launch.command.args(["--flaw", flaw.name()]);
    }
    Ok(launch)
}

fn process_name(pool: &str) -> String {
    format!("epp-{pool}")
}

impl Picker {
    /// Starts it, if it is down. [`Picker::ready`] says when it knows its endpoints.
    pub(super) async fn start(&mut self, nursery: &Nursery) -> Result<()> {
        if self.process.is_none() {
            let name = process_name(&self.pool);
            self.process = Some(nursery.launch(&name, &self.launch).await?);
        }
        Ok(())
    }

    /// Stops it, and waits until it has ended.
    pub(super) async fn stop(&mut self) {
        if let Some(process) = self.process.take() {
            process.stop().await;
        }
    }

    /// Waits until it has metrics of all endpoints; its health says less (facts of GIE v1.5.0: SERVING without any pod).
    pub(super) async fn ready(&mut self, http: &reqwest::Client) -> Result<()> {
        let (metrics, pool, endpoints) = (&self.metrics, &self.pool, self.endpoints);
        let known = || async move {
            let text = evidence::get(http, metrics).await.ok()?;
            (evidence::epp::endpoints_known(&text, pool) == endpoints).then_some(())
        };
        let process = self
            .process
            .as_mut()
            .context("the endpoint picker is down")?;
        process
            .wait_for("metrics of all endpoints", READY_TIMEOUT, known)
            .await
    }

    /// Its version: GIE's by its own metrics.
    pub(super) async fn version(
        &self,
        which: EndpointPicker,
        programs: &Programs,
        http: &reqwest::Client,
    ) -> String {
        if which == EndpointPicker::Poolproof {
            let version = env!("CARGO_PKG_VERSION");
            return format!("poolproof fixture {version}{}", programs.origin(OWN));
        }
        let text = evidence::get(http, &self.metrics).await.unwrap_or_default();
        let info = text
            .lines()
            .find_map(|line| line.strip_prefix("inference_extension_info"));
        let build = info
            .and_then(|info| info.split_once("build_ref=\""))
            .and_then(|(_, rest)| rest.split_once('"'));
        let build = build.map_or("unknown", |(build, _)| build);
        let origin = programs.origin("epp");
        format!("Gateway API Inference Extension endpoint picker {build}{origin}")
    }
}

/// The three addresses of a program of GIE.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ports3 {
    pub(super) grpc: SocketAddr,
    health: SocketAddr,
    metrics: SocketAddr,
}

impl Ports3 {
    pub(super) fn take(ports: &mut Ports) -> Result<Self> {
        Ok(Self {
            grpc: ports.take()?,
            health: ports.take()?,
            metrics: ports.take()?,
        })
    }

    /// The flags by which it is told.
    pub(super) fn flags(&self) -> [String; 3] {
        [
            format!("--grpc-port={}", self.grpc.port()),
            format!("--grpc-health-port={}", self.health.port()),
            format!("--metrics-port={}", self.metrics.port()),
        ]
    }

    /// Where its gRPC health is.
    pub(super) fn health(&self) -> SocketAddr {
        self.health
    }
}
