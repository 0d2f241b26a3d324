//! agentgateway: a process with a configuration file, or managed by its controller in a cluster.

mod config;
mod controller;
mod manifests;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use poolproof_fixtures::flaw::Flaw;
use serde_json::{Value, json};
use url::Url;

use super::gateway::{Control, GatewayPart, Running, Start};
use crate::kubernetes::api::{GATEWAY_API, INFERENCE_POOL, of_gateway};
use crate::kubernetes::deployment::GATEWAY;
use crate::kubernetes::ready::accepted;
use crate::kubernetes::{Cluster, Deployment, Helm, Site};
use crate::process::write;
use crate::programs::{Get, Program};
use poolproof_client::evidence;
use poolproof_model::parts::StackKind;
use poolproof_model::routed::Routed;
use poolproof_model::target::BODY_LIMIT_BYTES;
use poolproof_model::topology::Topology;

const READY_TIMEOUT: Duration = Duration::from_secs(30);
/// The maximum number of matches of a rule (Gateway API v1.5.1, HTTPRouteRule).
const MATCHES_MAX: usize = 64;

const PROGRAM: Program = Program {
    name: "agentgateway",
    in_image: "/app/agentgateway",
    needed_for: "--gateway agentgateway",
    get: Get::BuildOr("--gateway poolproof"),
};

/// agentgateway.
pub(super) struct Agentgateway;

impl GatewayPart for Agentgateway {
    /// Its default `maxBufferSize`.
    fn body_limit_bytes(&self) -> Option<usize> {
        Some(BODY_LIMIT_BYTES)
    }

    /// In a cluster it follows the failure mode of the InferencePool.
    fn changes_failure_mode(&self, kind: StackKind) -> bool {
        kind.is_cluster()
    }

    fn programs(&self) -> &'static [Program] {
        &[PROGRAM]
    }

    fn start<'a>(&'a self, start: Start<'a>) -> BoxFuture<'a, Result<Running>> {
        run(start).boxed()
    }

    fn images(&self) -> &'static [&'static str] {
        &["agentgateway-controller", "agentgateway"]
    }

    fn charts(&self) -> &'static [&'static str] {
        &[controller::DEFINITIONS, manifests::CONTROLLER]
    }

    fn pod(&self) -> (String, u16) {
        (of_gateway(GATEWAY), 80)
    }

    fn models_share_namespaces(&self) -> bool {
        true
    }

    fn check(&self, topology: &Topology) -> Result<()> {
        for model in &topology.models {
            let (name, adapters) = (&model.name, model.routed_names().count());
            ensure!(
                adapters < MATCHES_MAX,
                "model {name:?}: `adapters` and `rewrites` have {adapters} names: with --gateway agentgateway it must be fewer than {MATCHES_MAX}, the matches that an HTTPRoute may have"
            );
        }
        Ok(())
    }

    fn objects(&self, deployment: &Deployment) -> Result<Vec<Value>> {
        Ok(manifests::objects(deployment))
    }

    fn controller_namespace(&self) -> Option<&'static str> {
        Some(manifests::CONTROLLER_NAMESPACE)
    }

    #[cfg(test)]
    fn controller_values(&self) -> Option<Value> {
        Some(manifests::controller_values())
    }

    fn install<'a>(&'a self, site: &'a Site<'_>) -> BoxFuture<'a, Result<Option<&'static str>>> {
        async {
            controller::install(site).await?;
            Ok(Some("controller of agentgateway"))
        }
        .boxed()
    }

    fn uninstall<'a>(
        &'a self,
        cluster: &'a Cluster,
        helm: &'a Helm<'_>,
    ) -> BoxFuture<'a, Result<()>> {
        controller::uninstall(cluster, helm).boxed()
    }

    fn accepted<'a>(
        &'a self,
        cluster: &'a Cluster,
        deployment: &'a Deployment,
    ) -> BoxFuture<'a, Result<()>> {
        objects_accepted(cluster, deployment).boxed()
    }

    fn weigh<'a>(
        &'a self,
        cluster: &'a Cluster,
        deployment: &'a Deployment,
        now: &'a Topology,
        model: &'a str,
    ) -> BoxFuture<'a, Result<()>> {
        weigh_route(cluster, deployment, now, model).boxed()
    }
}

/// Starts it, and waits until it reports ready and listens.
async fn run(start: Start<'_>) -> Result<Running> {
    let addresses = config::Addresses {
        listener: start.ports.take()?,
        admin: start.ports.take()?,
        stats: start.ports.take()?,
        readiness: start.ports.take()?,
        pickers: start.pickers.to_vec(),
    };
    let file = start.group.logs.join("agentgateway.yaml");
    let text = config::text(start.topology, &addresses, start.flaw);
    write(&file, &text)?;
    let mut launch = start.programs.launch(&PROGRAM)?;
    launch.command.arg("-f").arg(&file);
    let mut process = start.group.launch("agentgateway", &launch).await?;

    let ready: Url = format!("http://{}/healthz/ready", addresses.readiness).parse()?;
    let (http, ready, listener) = (start.http, &ready, addresses.listener);
    let serves = || async move {
        evidence::get(http, ready).await.ok()?;
        let connected = tokio::net::TcpStream::connect(listener).await;
        connected.ok().map(|_| ())
    };
    process.wait_for("readiness", READY_TIMEOUT, serves).await?;
    let version = start.programs.version(&PROGRAM, "-V")?;
    let origin = start.programs.origin(&PROGRAM);
    Ok(Running {
        processes: vec![process],
        address: addresses.listener,
        control: Box::new(File { file, addresses }),
        versions: vec![("gateway", format!("agentgateway{version}{origin}"))],
    })
}

/// Its configuration file, which it watches.
struct File {
    file: PathBuf,
    addresses: config::Addresses,
}

impl Control for File {
    fn weigh<'a>(
        &'a self,
        topology: &'a Topology,
        flaw: Option<Flaw>,
        _http: &'a reqwest::Client,
    ) -> BoxFuture<'a, Result<()>> {
        let text = config::text(topology, &self.addresses, flaw);
        async move { write(&self.file, &text) }.boxed()
    }
}

/// Waits until the Gateway is programmed, and all routes and pools are resolved.
async fn objects_accepted(cluster: &Cluster, deployment: &Deployment) -> Result<()> {
    let programmed: (_, &[_]) = ("/status/conditions", &["Accepted", "Programmed"]);
    let resolved: (_, &[_]) = (
        "/status/parents/0/conditions",
        &["Accepted", "ResolvedRefs"],
    );
    let gateway = (deployment.namespace.as_str(), GATEWAY);
    accepted(cluster, (GATEWAY_API, "Gateway"), gateway, programmed).await?;
    for (number, model) in deployment.topology.models.iter().enumerate() {
        let (name, namespace) = deployment.route(number, model);
        let route = (namespace, name.as_str());
        accepted(cluster, (GATEWAY_API, "HTTPRoute"), route, resolved).await?;
    }
    for pool in deployment.topology.pools() {
        let pool = (&*deployment.names(pool).namespace, pool.name.as_str());
        accepted(cluster, INFERENCE_POOL, pool, resolved).await?;
    }
    Ok(())
}

/// Sets the weights of a model's pools in its HTTPRoute.
async fn weigh_route(
    cluster: &Cluster,
    deployment: &Deployment,
    now: &Topology,
    model: &str,
) -> Result<()> {
    let mut models = now.models.iter().enumerate();
    let found = models.find(|(_, it)| it.name == model);
    let (number, model) = found.with_context(|| format!("there is no model {model:?}"))?;
    let weights = model.weights();
    let (name, namespace) = deployment.route(number, model);
    let (kind, what) = ((GATEWAY_API, "HTTPRoute"), || {
        format!("HTTPRoute {namespace}/{name}")
    });
    let route = cluster.get(kind.0, kind.1, namespace, &name).await?;
    let mut rules = route.with_context(what)?["spec"]["rules"].take();
    let backends = rules
        .pointer_mut("/0/backendRefs")
        .and_then(Value::as_array_mut);
    for backend in backends.with_context(what)? {
        let pool = backend["name"].as_str().unwrap_or_default();
        let weight = weights
            .get(pool)
            .with_context(|| format!("pool {pool:?} has no weight"))?;
        backend["weight"] = json!(weight);
    }
    let changed = json!({"spec": {"rules": rules}});
    cluster.merge(kind, namespace, &name, &changed).await
}
