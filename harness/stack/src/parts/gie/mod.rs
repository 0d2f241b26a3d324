//! The endpoint picker of the Gateway API Inference Extension, and those whose code comes from it: what differs between them stands here in
//! one row each.
//!
//! Sources: GIE v1.5.0, cmd/epp and pkg/epp; GIE v1.6.0, cmd/lwepp and pkg/lwepp; llm-d-router v0.10.0, cmd/epp, pkg/epp/server/options.go
//! and controller_config.go.

pub(crate) mod config;
mod manifests;

use anyhow::Result;
use serde_json::Value;

use super::picker::{PickerPart, Start};
use crate::kubernetes::Deployment;
use crate::process::{Launch, write};
use crate::programs::{Get, Program, Programs};
use config::Api;
use poolproof_model::change::Kind;
use poolproof_model::parts::StackKind;
use poolproof_model::target::GIE_OBJECTIVE_HEADER;
use poolproof_model::topology::Pool;

/// The API group of GIE's configuration, InferenceObjectives and InferenceModelRewrites.
pub(crate) const GROUP: &str = "inference.networking.x-k8s.io";

/// What is particular to an endpoint picker.
pub(super) struct Epp {
    program: Program,
    /// Its name in reports.
    product: &'static str,
    /// Its configuration; `None`: it takes none, and knows neither load nor priorities.
    api: Option<Api>,
    /// The API group of its InferenceObjectives and InferenceModelRewrites.
    group: &'static str,
    /// The header that names the InferenceObjective of a request.
    objective_header: &'static str,
    /// The metric with its build, if it has one.
    info: Option<&'static str>,
    /// Its flags, besides those of its pool and its ports.
    flags: &'static [&'static [&'static str]],
    /// The chart of an InferencePool with the picker, by its name in `kind/versions.toml`; `None`: it runs on this machine only.
    chart: Option<&'static str>,
}

/// The flags of pickers that look at load.
const FLAGS: &[&str] = &[
    "--secure-serving=false",
    "--metrics-endpoint-auth=false",
    "--tracing=false",
    "--enable-pprof=false",
    "--v=1",
];

/// GIE's endpoint picker.
pub(super) static GIE: Epp = Epp {
    program: Program {
        name: "epp",
        in_image: "/epp",
        needed_for: "the endpoint picker of every pool",
        get: Get::By("ci/upstream/build"),
    },
    product: "Gateway API Inference Extension endpoint picker",
    api: Some(Api {
        version: "inference.networking.x-k8s.io/v1alpha1",
        detector_in_flow_control: false,
    }),
    group: GROUP,
    objective_header: GIE_OBJECTIVE_HEADER,
    info: Some("inference_extension_info"),
    flags: &[FLAGS],
    chart: Some("inferencepool"),
};

/// The light endpoint picker of GIE v1.6: round robin.
pub(super) static LIGHT: Epp = Epp {
    program: Program {
        name: "gie-light",
        in_image: "/lwepp",
        needed_for: "--epp gie-light",
        get: Get::By("ci/upstream/build gie-light"),
    },
    product: "gie-light",
    api: None,
    group: GROUP,
    objective_header: GIE_OBJECTIVE_HEADER,
    info: None,
    // It logs each message of each request.
    flags: &[&["--secure-serving=false", "--zap-log-level=error"]],
    chart: None,
};

/// The endpoint picker of llm-d-router.
pub(super) static LLM_D_ROUTER: Epp = Epp {
    program: Program {
        name: "llm-d-router",
        in_image: "/app/epp",
        needed_for: "--epp llm-d-router",
        get: Get::By("ci/upstream/build llm-d-router"),
    },
    product: "llm-d-router",
    api: Some(Api {
        version: "llm-d.ai/v1alpha1",
        detector_in_flow_control: true,
    }),
    group: "llm-d.ai",
    objective_header: "x-llm-d-inference-objective",
    info: Some("llm_d_epp_info"),
    // By default it serves for 30 s after SIGTERM.
    flags: &[FLAGS, &["--drain-timeout=0s"]],
    chart: None,
};

impl PickerPart for Epp {
    fn runs_on(&self, kind: StackKind) -> bool {
        match kind {
            StackKind::Embedded | StackKind::Url => false,
            StackKind::Local => true,
            StackKind::Containers | StackKind::Kind | StackKind::Cluster => self.chart.is_some(),
        }
    }

    fn schedules(&self) -> bool {
        self.api.is_some()
    }

    fn objective_header(&self) -> &'static str {
        self.objective_header
    }

    fn group(&self) -> &'static str {
        self.group
    }

    /// It watches its InferencePool, the Pods of it and its InferenceObjectives.
    fn follows(&self) -> &'static [Kind] {
        const OF_ALL: [Kind; 5] = [
            Kind::Member,
            Kind::Terminate,
            Kind::Ready,
            Kind::Moved,
            Kind::Ports,
        ];
        const WITH_OBJECTIVES: [Kind; 6] = {
            let [member, terminate, ready, moved, ports] = OF_ALL;
            [member, Kind::Objective, terminate, ready, moved, ports]
        };
        if self.schedules() {
            &WITH_OBJECTIVES
        } else {
            &OF_ALL
        }
    }

    fn programs(&self) -> &[Program] {
        std::slice::from_ref(&self.program)
    }

    fn launch(&self, start: &Start<'_>) -> Result<Launch> {
        let pool = start.pool;
        let mut launch = start.programs.launch(&self.program)?;
        let command = &mut launch.command;
        command
            .env("KUBECONFIG", start.kubeconfig)
            .args(["--pool-name", &pool.name])
            .args(["--pool-namespace", start.namespace])
            .args(start.ports.flags())
            .args(self.flags.concat());
        if let Some(api) = &self.api {
            let config_file = start.group.logs.join(format!("{}.yaml", start.name));
            let config = config::config(api, start.topology, pool, start.flaw);
            write(&config_file, &config.to_string())?;
            let interval = config::scrape_interval(pool);
            command
                .arg("--config-file")
                .arg(config_file)
                .arg(format!("--refresh-metrics-interval={interval}"))
                .arg("--refresh-prometheus-metrics-interval=1s");
        }
        Ok(launch)
    }

    /// Its name, with the build from its own metrics, or the version that is wanted.
    fn version(&self, programs: &Programs, metrics: &str) -> String {
        let origin = programs.origin(&self.program);
        let Some(name) = self.info else {
            let wanted = programs.wanted(self.program.name, &self.program);
            let wanted = wanted.ok().flatten().map(|wanted| format!(" {wanted}"));
            let wanted = wanted.unwrap_or_default();
            let product = self.product;
            return format!("{product}{wanted} (does not say its version){origin}");
        };
        let info = metrics.lines().find_map(|line| line.strip_prefix(name));
        let build = info
            .and_then(|info| info.split_once("build_ref=\""))
            .and_then(|(_, rest)| rest.split_once('"'));
        let build = build.map_or("unknown", |(build, _)| build);
        format!("{} {build}{origin}", self.product)
    }

    fn images(&self) -> &'static [&'static str] {
        if self.chart.is_some() { &["epp"] } else { &[] }
    }

    fn charts(&self) -> &[&'static str] {
        self.chart.as_slice()
    }

    /// The labels that its chart sets.
    fn labels(&self, name: &str) -> String {
        format!("inferencepool={name}")
    }

    fn tls(&self) -> bool {
        true
    }

    fn chart(&self, deployment: &Deployment, pool: &Pool) -> Option<(&'static str, Value)> {
        let (chart, api) = (self.chart?, self.api.as_ref()?);
        Some((chart, manifests::values(api, deployment, pool)))
    }
}
