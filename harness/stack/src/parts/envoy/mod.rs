//! Envoy with GIE's body-based router: its configuration is derived from the topology, locally and in a cluster.

mod config;
mod manifests;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use poolproof_fixtures::flaw::Flaw;
use serde_json::{Value, json};

use super::gateway::{Control, GatewayPart, Running, Start};
use super::picker::PickerPorts;
use crate::kubernetes::deployment::{GATEWAY, POD_PORT};
use crate::kubernetes::ready::{CONDITIONS_TIMEOUT, State, wait};
use crate::kubernetes::{Cluster, Deployment, text};
use crate::process::write;
use crate::programs::{Get, Program};
use config::Addresses;
use poolproof_client as client;
use poolproof_client::evidence;
use poolproof_model::topology::Topology;

const READY_TIMEOUT: Duration = Duration::from_secs(30);

const ROUTER: Program = Program {
    name: "bbr",
    in_image: "/bbr",
    needed_for: "--gateway envoy: lifts the model name into a header",
    get: Get::By("ci/upstream/build, or --gateway poolproof"),
};
const ENVOY: Program = Program {
    name: "envoy",
    in_image: "/usr/local/bin/envoy",
    needed_for: "--gateway envoy",
    get: Get::By("ci/upstream/build, or --gateway poolproof"),
};

/// Envoy with GIE's body-based router.
pub(super) struct Envoy;

impl GatewayPart for Envoy {
    /// It streams bodies.
    fn body_limit_bytes(&self) -> Option<usize> {
        None
    }

    fn programs(&self) -> &'static [Program] {
        &[ROUTER, ENVOY]
    }

    fn start<'a>(&'a self, start: Start<'a>) -> BoxFuture<'a, Result<Running>> {
        run(start).boxed()
    }

    fn images(&self) -> &'static [&'static str] {
        &["bbr", "envoy"]
    }

    fn pod(&self) -> (String, u16) {
        (format!("app={GATEWAY}"), POD_PORT)
    }

    fn objects(&self, deployment: &Deployment) -> Result<Vec<Value>> {
        manifests::objects(deployment)
    }

    fn weigh<'a>(
        &'a self,
        cluster: &'a Cluster,
        deployment: &'a Deployment,
        now: &'a Topology,
        _model: &'a str,
    ) -> BoxFuture<'a, Result<()>> {
        replace_routes(cluster, deployment, now).boxed()
    }
}

/// Starts the body-based router and Envoy, and waits until both serve.
async fn run(start: Start<'_>) -> Result<Running> {
    let Start {
        programs,
        group,
        ports,
        topology,
        flaw,
        ..
    } = start;
    let router_ports = PickerPorts::take(ports)?;
    let mut launch = programs.launch(&ROUTER)?;
    launch
        .command
        .env("KUBECONFIG", start.kubeconfig)
        .env("NAMESPACE", start.models_namespace)
        .args(router_ports.flags())
        .args(["--streaming", "--secure-serving=false"])
        .args(["--metrics-endpoint-auth=false", "--tracing=false"]);
    let mut router = group.launch("bbr", &launch).await?;

    let addresses = Addresses {
        listener: ports.take()?,
        admin: ports.take()?,
        bbr: router_ports.grpc.into(),
        pickers: start
            .pickers
            .iter()
            .map(|picker| (*picker).into())
            .collect(),
    };
    let file = group.logs.join("envoy.json");
    let routes = group.logs.join("routes.json");
    write(&routes, &config::routes_file(topology, flaw).to_string())?;
    let config = config::bootstrap(topology, &addresses, &routes, flaw);
    write(&file, &format!("{config:#}"))?;
    let mut launch = programs.launch(&ENVOY)?;
    launch.command.arg("-c").arg(&file).args([
        "--concurrency",
        "2",
        "-l",
        "warning",
        "--disable-hot-restart",
    ]);
    let mut gateway = group.launch("envoy", &launch).await?;

    for (process, what, address) in [
        (&mut router, "gRPC health", router_ports.health),
        (&mut gateway, "listener", addresses.listener),
    ] {
        let connected = || async move { tokio::net::TcpStream::connect(address).await.ok() };
        process.wait_for(what, READY_TIMEOUT, connected).await?;
    }
    let version = programs.version(&ENVOY, "--version")?;
    let version = version.split("version:").last().unwrap_or_default();
    let router_version = "Gateway API Inference Extension body-based router";
    Ok(Running {
        processes: vec![gateway, router],
        address: addresses.listener,
        control: Box::new(Routes { file: routes }),
        versions: vec![
            (
                "gateway",
                format!("Envoy{version}{}", programs.origin(&ENVOY)),
            ),
            (
                "body-based-router",
                format!("{router_version}{}", programs.origin(&ROUTER)),
            ),
        ],
    })
}

/// The file of its routes. Envoy reloads it when another file is moved over it.
struct Routes {
    file: PathBuf,
}

impl Control for Routes {
    fn weigh<'a>(
        &'a self,
        topology: &'a Topology,
        flaw: Option<Flaw>,
        _http: &'a reqwest::Client,
    ) -> BoxFuture<'a, Result<()>> {
        let routes = config::routes_file(topology, flaw).to_string();
        async move {
            let new = self.file.with_extension("new");
            write(&new, &routes)?;
            std::fs::rename(&new, &self.file)
                .with_context(|| format!("replacing {}", self.file.display()))
        }
        .boxed()
    }
}

/// Writes Envoy's routes in a cluster, and waits until it has loaded them.
async fn replace_routes(cluster: &Cluster, deployment: &Deployment, now: &Topology) -> Result<()> {
    let namespace = &deployment.namespace;
    let routes = config::routes_file(now, deployment.flaw);
    let version = text(&routes, "/version_info");
    let written = json!({"data": {manifests::ROUTES_FILE: format!("{routes:#}")}});
    cluster
        .merge(("v1", "ConfigMap"), namespace, GATEWAY, &written)
        .await?;
    // The kubelet syncs a changed pod at once, and others only every minute.
    let changed = json!({"metadata": {"annotations": {"poolproof.dev/routes": version}}});
    let (labels, _) = &deployment.gateway_pod;
    for pod in cluster.read_all::<Pod>(namespace, labels).await? {
        cluster
            .merge(("v1", "Pod"), namespace, &pod.name_any(), &changed)
            .await?;
    }
    let forward = deployment
        .forward_to_gateway(cluster, manifests::ADMIN_PORT)
        .await?;
    let of_routes = "config_dump?resource=dynamic_route_configs";
    let dump = format!("http://{}/{of_routes}", forward.address).parse()?;
    let http = client::http(0)?;
    let loaded = || {
        async {
            Ok(match evidence::get(&http, &dump).await {
                Ok(routes) if routes.contains(version) => State::Ready,
                Ok(_) => State::NotYet("it has those from before".to_owned()),
                Err(error) => State::NotYet(format!("{error:#}")),
            })
        }
        .boxed()
    };
    wait("Envoy with other routes", CONDITIONS_TIMEOUT, &loaded).await
}
