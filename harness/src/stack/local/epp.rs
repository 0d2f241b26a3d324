//! The endpoint picker of GIE v1.5.0, one process for each pool.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use poolproof_fixtures::flaw::Flaw;
use serde_json::{Value, json};
use url::Url;

use super::objects;
use super::ports::Ports;
use super::process::{Nursery, Process};
use crate::evidence;
use crate::topology::{Pool, Topology};

const READY_TIMEOUT: Duration = Duration::from_secs(30);
/// A steady rhythm of scrapes keeps bursts between them small: about one request passes for each millisecond of it.
const SCRAPE_INTERVAL: &str = "10ms";
/// GIE's default of 200 ms is missed by a busy machine, and then the pool counts as saturated.
const STALENESS: &str = "1s";
/// How long a held request waits before it is refused.
const REQUEST_TTL: &str = "60s";

/// A running endpoint picker.
#[derive(Debug)]
pub(super) struct Picker {
    pub(super) process: Process,
    pub(super) address: SocketAddr,
    pub(super) metrics: Url,
    pool: String,
    endpoints: usize,
}

/// Starts the endpoint picker of a pool. [`Picker::ready`] says when it knows its endpoints.
pub(super) fn start(
    nursery: &Nursery,
    program: &Path,
    ports: &Ports3,
    kubeconfig: &Path,
    (topology, pool): (&Topology, &Pool),
    flaw: Option<Flaw>,
) -> Result<Picker> {
    let name = format!("epp-{}", pool.name);
    let config_file = nursery.logs.join(format!("{name}.yaml"));
    std::fs::write(&config_file, config(topology, pool, flaw).to_string())
        .with_context(|| format!("writing {}", config_file.display()))?;
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
        .arg(format!("--refresh-metrics-interval={SCRAPE_INTERVAL}"))
        .arg("--refresh-prometheus-metrics-interval=1s");
    Ok(Picker {
        process: nursery.start(&name, &command)?,
        address: ports.grpc,
        metrics: format!("http://{}/metrics", ports.metrics).parse()?,
        pool: pool.name.clone(),
        endpoints: pool.endpoints,
    })
}

impl Picker {
    /// Waits until it has metrics of all endpoints; its health says less (facts of GIE v1.5.0: SERVING without any pod).
    pub(super) async fn ready(&mut self, http: &reqwest::Client) -> Result<()> {
        let (metrics, pool, endpoints) = (&self.metrics, &self.pool, self.endpoints);
        let known = || async move {
            let text = evidence::get(http, metrics).await.ok()?;
            let series = format!("name=\"{pool}\"");
            let known = text.lines().filter(|line| {
                line.starts_with("inference_pool_per_pod_queue_size{") && line.contains(&series)
            });
            (known.count() == endpoints).then_some(())
        };
        self.process
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

/// An EndpointPickerConfig with GIE's default scorers and thresholds; flow control where the topology has it. Flaws that
/// a configuration can have leave scorers out.
fn config(topology: &Topology, pool: &Pool, flaw: Option<Flaw>) -> Value {
    let scorers = [
        ("queue-scorer", 2),
        ("kv-cache-utilization-scorer", 2),
        ("prefix-cache-scorer", 3),
    ];
    let scorers = scorers.iter().filter(|(name, _)| match flaw {
        Some(Flaw::Random) => false,
        Some(Flaw::KvIgnored) => *name != "kv-cache-utilization-scorer",
        _ => true,
    });
    let detector = json!({
        "type": "utilization-detector",
        "parameters": {
            "queueDepthThreshold": 5, "kvCacheUtilThreshold": 0.8, "metricsStalenessThreshold": STALENESS,
        },
    });
    let mut plugins = vec![detector, json!({"type": "max-score-picker"})];
    plugins.extend(scorers.clone().map(|(name, _)| json!({"type": name})));
    let mut profile = vec![json!({"pluginRef": "max-score-picker"})];
    profile.extend(scorers.map(|(name, weight)| json!({"pluginRef": name, "weight": weight})));
    let mut config = json!({
        "apiVersion": "inference.networking.x-k8s.io/v1alpha1",
        "kind": "EndpointPickerConfig",
        "plugins": plugins,
        "schedulingProfiles": [{"name": "default", "plugins": profile}],
        "saturationDetector": {"pluginRef": "utilization-detector"},
    });
    if pool.flow_control {
        let mut priorities: Vec<i32> = topology.objectives.values().copied().collect();
        priorities.sort_unstable();
        priorities.dedup();
        let bands: Vec<Value> = priorities
            .into_iter()
            .rev()
            .map(|priority| json!({"priority": priority}))
            .collect();
        config["featureGates"] = json!(["flowControl"]);
        config["flowControl"] = json!({"defaultRequestTTL": REQUEST_TTL, "priorityBands": bands});
    }
    config
}
