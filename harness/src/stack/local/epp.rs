//! The endpoint picker of GIE v1.5.0, one process for each pool.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use poolproof_fixtures::flaw::Flaw;
use url::Url;

use super::super::gie;
use super::super::ports::Ports;
use super::super::process::{Nursery, Process};
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
    command: Command,
    /// `None`: it is down.
    process: Option<Process>,
}

/// The endpoint picker of a pool, which [`Picker::start`] starts.
pub(super) fn picker(
    nursery: &Nursery,
    program: &Path,
    ports: &Ports3,
    kubeconfig: &Path,
    (topology, pool): (&Topology, &Pool),
    flaw: Option<Flaw>,
) -> Result<Picker> {
    let name = process_name(&pool.name);
    let config_file = nursery.logs.join(format!("{name}.yaml"));
    kube::write(&config_file, &gie::config(topology, pool, flaw).to_string())?;
    let mut command = Command::new(program);
    command
        .env("KUBECONFIG", kubeconfig)
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
    Ok(Picker {
        address: ports.grpc,
        metrics: format!("http://{}/metrics", ports.metrics).parse()?,
        pool: pool.name.clone(),
        endpoints: pool.endpoints,
        command,
        process: None,
    })
}

fn process_name(pool: &str) -> String {
    format!("epp-{pool}")
}

impl Picker {
    /// Starts it, if it is down. [`Picker::ready`] says when it knows its endpoints.
    pub(super) fn start(&mut self, nursery: &Nursery) -> Result<()> {
        if self.process.is_none() {
            self.process = Some(nursery.start(&process_name(&self.pool), &self.command)?);
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

    /// Its version, by its own metrics.
    pub(super) async fn version(&self, http: &reqwest::Client) -> String {
        let text = evidence::get(http, &self.metrics).await.unwrap_or_default();
        let info = text
            .lines()
            .find_map(|line| line.strip_prefix("inference_extension_info"));
        let build = info
            .and_then(|info| info.split_once("build_ref=\""))
            .and_then(|(_, rest)| rest.split_once('"'));
        let build = build.map_or("unknown", |(build, _)| build);
        format!("Gateway API Inference Extension endpoint picker {build}")
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
