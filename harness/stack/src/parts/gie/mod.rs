//! The endpoint picker of the Gateway API Inference Extension.

pub(crate) mod config;
mod manifests;

use anyhow::Result;
use serde_json::Value;

use super::picker::{PickerPart, Start};
use crate::kubernetes::Deployment;
use crate::process::{Launch, write};
use crate::programs::{Get, Program, Programs};
use poolproof_model::change::Kind;
use poolproof_model::topology::Pool;

/// The chart of an InferencePool with its picker, by its name in `kind/versions.toml`.
const CHART: &str = "inferencepool";

const PROGRAM: Program = Program {
    name: "epp",
    in_image: "/epp",
    needed_for: "the endpoint picker of every pool",
    get: Get::By("ci/upstream/build"),
};

/// GIE's endpoint picker.
pub(super) struct Gie;

impl PickerPart for Gie {
    /// It watches its InferencePool, the Pods of it and its InferenceObjectives.
    fn follows(&self) -> &'static [Kind] {
        &[
            Kind::Member,
            Kind::Objective,
            Kind::Terminate,
            Kind::Ready,
            Kind::Moved,
            Kind::Ports,
        ]
    }

    fn programs(&self) -> &'static [Program] {
        &[PROGRAM]
    }

    fn launch(&self, start: &Start<'_>) -> Result<Launch> {
        let pool = start.pool;
        let config_file = start.group.logs.join(format!("{}.yaml", start.name));
        let config = config::config(start.topology, pool, start.flaw);
        write(&config_file, &config.to_string())?;
        let mut launch = start.programs.launch(&PROGRAM)?;
        launch
            .command
            .env("KUBECONFIG", start.kubeconfig)
            .args(["--pool-name", &pool.name])
            .args(["--pool-namespace", start.namespace])
            .arg("--config-file")
            .arg(config_file)
            .args(start.ports.flags())
            .args(["--secure-serving=false", "--metrics-endpoint-auth=false"])
            .args(["--tracing=false", "--enable-pprof=false", "--v", "1"])
            .arg(format!(
                "--refresh-metrics-interval={}",
                config::scrape_interval(pool)
            ))
            .arg("--refresh-prometheus-metrics-interval=1s");
        Ok(launch)
    }

    /// Its name, with the build from its own metrics.
    fn version(&self, programs: &Programs, metrics: &str) -> String {
        let info = metrics
            .lines()
            .find_map(|line| line.strip_prefix("inference_extension_info"));
        let build = info
            .and_then(|info| info.split_once("build_ref=\""))
            .and_then(|(_, rest)| rest.split_once('"'));
        let build = build.map_or("unknown", |(build, _)| build);
        let origin = programs.origin(&PROGRAM);
        format!("Gateway API Inference Extension endpoint picker {build}{origin}")
    }

    fn images(&self) -> &'static [&'static str] {
        &["epp"]
    }

    fn charts(&self) -> &'static [&'static str] {
        &[CHART]
    }

    /// The labels that its chart sets.
    fn labels(&self, name: &str) -> String {
        format!("inferencepool={name}")
    }

    fn tls(&self) -> bool {
        true
    }

    fn chart(&self, deployment: &Deployment, pool: &Pool) -> Option<(&'static str, Value)> {
        Some((CHART, manifests::values(deployment, pool)))
    }
}
