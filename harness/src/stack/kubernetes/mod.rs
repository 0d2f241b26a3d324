//! A topology on a Kubernetes cluster: what stacks `kind` and `cluster` share.

mod cluster;
pub(super) mod components;
pub(super) mod controller;
pub(super) mod crds;
mod diagnose;
mod forward;
mod helm;
pub(super) mod load_job;
pub mod manifests;
mod operator;
mod ready;
mod ways;

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use url::Url;

use super::artifacts::Artifacts;
use super::parts::{EndpointPicker, Gateway, ModelServer};
use super::process::Nursery;
use super::{Component, Progress};
use crate::client::{self, Api, Client, Connections, Request};
use crate::evidence::{self, served};
use crate::target::{self, Target};
use crate::topology::Pool;

pub use cluster::Cluster;
pub(super) use cluster::{selector, text};
pub(super) use helm::Helm;
use manifests::{GATEWAY_API, Plan};
pub(super) use operator::{Operator, kinds_of_changes};
use ready::{State, conditions, wait, workload};
pub use ways::Ways;
pub(super) use ways::{Opened, To};

/// A node that pulls images, or that is busy with other things, takes its time.
const PODS_TIMEOUT: Duration = Duration::from_secs(180);
const CONDITIONS_TIMEOUT: Duration = Duration::from_secs(60);
const FIRST_ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// agentgateway's default `maxBufferSize`, and the reference gateway's limit.
const BODY_LIMIT_BYTES: usize = 2 << 20;

/// A cluster, and how programs beside us reach it.
pub struct Place<'a> {
    /// The cluster.
    pub cluster: &'a Cluster,
    /// Its kubeconfig.
    pub kubeconfig: &'a Path,
    /// The context of it; `None`: its current one.
    pub context: Option<&'a str>,
    /// How programs are started.
    pub(super) nursery: &'a Nursery,
    /// Where charts and definitions come from.
    pub artifacts: &'a Artifacts,
    /// How the gateway is reached from here; `None`: through the API of the cluster, like everything else.
    pub gateway: Option<Url>,
    /// The address of a node that may be reached from here.
    pub node: Option<IpAddr>,
}

/// Brings a topology to a cluster, and waits until a request gets through to each model. What is there is brought to what is
/// wanted, or removed if it is of another plan. On failure the error says what the cluster says of itself.
pub async fn deploy(
    place: &Place<'_>,
    plan: &Plan,
    progress: &mut Progress<'_>,
) -> Result<(Target, Vec<Component>, Ways)> {
    match steps(place, plan, progress).await {
        Ok(deployed) => Ok(deployed),
        Err(error) => {
            let mut namespaces = plan.namespaces();
            if plan.parts.gateway == Gateway::Agentgateway {
                namespaces.push(manifests::CONTROLLER_NAMESPACE.to_owned());
            }
            let told = diagnose::diagnose(place.cluster, &namespaces).await;
            Err(match told.as_slice() {
                [] => error,
                _ => anyhow!("{error:#}\n  {}", told.join("\n  ")),
            })
        }
    }
}

async fn steps(
    place: &Place<'_>,
    plan: &Plan,
    progress: &mut Progress<'_>,
) -> Result<(Target, Vec<Component>, Ways)> {
    let cluster = place.cluster;
    for name in ["gateway-api", "inference-extension"] {
        crds::apply(cluster, &place.artifacts.crds(name).await?).await?;
    }
    progress.done("custom resource definitions");

    if plan.parts.gateway == Gateway::Agentgateway {
        controller::install(place).await?;
        progress.done("controller of agentgateway");
    }

    let mut manifests = plan.manifests()?;
    let mark = manifests.mark(plan);
    if let Some(namespace) = cluster.get("v1", "Namespace", "", &plan.namespace).await?
        && namespace["metadata"]["annotations"][manifests::MARK] != mark.as_str()
    {
        remove(cluster, &plan.namespace).await?;
        progress.done("removal of another topology");
    }
    manifests.namespaces[0]["metadata"]["annotations"] = serde_json::json!({manifests::MARK: mark});
    cluster.apply_all(&manifests.namespaces).await?;
    cluster.apply_all(&manifests.pools).await?;
    if plan.parts.epp == EndpointPicker::Gie {
        let chart = place
            .artifacts
            .chart(place.nursery, "inferencepool")
            .await?;
        for pool in plan.topology.pools() {
            let release = (pool.name.as_str(), &*plan.namespace_of(pool));
            let values = manifests::epp_values(plan, pool);
            place.helm().install(release, &chart, &values).await?;
        }
    }
    cluster.apply_all(&manifests.gateway).await?;
    progress.done("objects");

    for pool in plan.topology.pools() {
        pods(cluster, "StatefulSet", &plan.namespace_of(pool), &pool.name).await?;
    }
    progress.done("model servers");

    let http = client::http(usize::MAX)?;
    let mut ways = Ways::by_node(place.node).await;
    let mut models = Vec::new();
    for model in &plan.topology.models {
        let mut pools = Vec::new();
        for pool in &model.pools {
            pools.push(pool_ready(cluster, plan, pool, &http, &mut ways).await?);
        }
        models.push(target::Model {
            name: model.name.clone(),
            adapters: model.adapters.clone(),
            pools,
        });
    }
    progress.done("endpoint pickers, each with all its endpoints");

    gateway_ready(cluster, plan).await?;
    let gateway = match &place.gateway {
        Some(gateway) => gateway.clone(),
        None => {
            let (labels, port) = manifests::gateway_pod(plan.parts.gateway);
            let way = ways.add(cluster, &plan.namespace, To::Labelled(labels), port);
            way.await?.parse()?
        }
    };
    for model in &plan.topology.models {
        first_answer(&gateway, &model.name).await?;
    }
    progress.done("gateway, to the first answer for each model");

    let target = Target {
        name: format!(
            "{} ({})",
            plan.namespace,
            super::parts::name(plan.parts.gateway)
        ),
        url: gateway,
        changes: None,
        objective_header: target::GIE_OBJECTIVE_HEADER.to_owned(),
        served_by_header: target::served_by_header(),
        body_limit_bytes: match plan.parts.gateway {
            Gateway::Envoy => None,
            Gateway::Agentgateway | Gateway::Poolproof => Some(BODY_LIMIT_BYTES),
        },
        models,
        objectives: plan.topology.objectives.clone(),
    };
    Ok((target, components::deployed(cluster, plan).await?, ways))
}

/// Removes the namespaces of a stack with all that is in them, and waits until they are gone.
pub async fn remove(cluster: &Cluster, stack: &str) -> Result<()> {
    let labels = format!("{}={stack}", manifests::STACK_LABEL);
    for namespace in cluster.namespaces(&labels).await? {
        cluster.delete(("v1", "Namespace"), "", &namespace).await?;
    }
    wait("removal of namespaces", PODS_TIMEOUT, || async {
        Ok(match cluster.namespaces(&labels).await?.as_slice() {
            [] => State::Ready,
            left => State::NotYet(format!("{} are still there", left.join(", "))),
        })
    })
    .await
}

/// Waits for what a gateway of each kind says of itself.
async fn gateway_ready(cluster: &Cluster, plan: &Plan) -> Result<()> {
    let namespace = plan.namespace.as_str();
    if plan.parts.gateway == Gateway::Agentgateway {
        const PARENT: &str = "/status/parents/0/conditions";
        let gateway = (namespace, manifests::GATEWAY);
        let programmed: (_, &[_]) = ("/status/conditions", &["Accepted", "Programmed"]);
        accepted(cluster, (GATEWAY_API, "Gateway"), gateway, programmed).await?;
        for (number, model) in plan.topology.models.iter().enumerate() {
            let route = manifests::route_name(number);
            let of = manifests::route_namespace(plan, model);
            let resolved: (_, &[_]) = (PARENT, &["Accepted", "ResolvedRefs"]);
            accepted(cluster, (GATEWAY_API, "HTTPRoute"), (&of, &route), resolved).await?;
        }
        for pool in plan.topology.pools() {
            let (name, of) = (pool.name.as_str(), plan.namespace_of(pool));
            let resolved: (_, &[_]) = (PARENT, &["Accepted", "ResolvedRefs"]);
            accepted(cluster, manifests::INFERENCE_POOL, (&of, name), resolved).await?;
        }
    }
    // `Programmed` is true while the proxy's pod still cannot run.
    pods(cluster, "Deployment", namespace, manifests::GATEWAY).await
}

/// Waits until the endpoint picker of a pool knows all endpoints, and opens ways to it and to them.
async fn pool_ready(
    cluster: &Cluster,
    plan: &Plan,
    pool: &Pool,
    http: &reqwest::Client,
    ways: &mut Ways,
) -> Result<target::Pool> {
    let (namespace, picker) = (plan.namespace_of(pool), manifests::epp_name(pool));
    pods(cluster, "Deployment", &namespace, &picker).await?;
    let picker = To::Labelled(manifests::epp_labels(plan, pool));
    let metrics = ways
        .add(cluster, &namespace, picker, manifests::EPP_METRICS_PORT)
        .await?;
    let metrics: Url = format!("{metrics}/metrics").parse()?;
    knows_its_endpoints(http, &metrics, pool).await?;
    let mut endpoints = Vec::new();
    for name in pool.endpoint_names() {
        let to = To::Pod(name.clone());
        let url = ways
            .add(cluster, &namespace, to, manifests::MODEL_SERVER_PORT)
            .await?;
        let control = match plan.parts.model_server {
            ModelServer::Poolproof => Some(format!("{url}/poolproof").parse()?),
            ModelServer::LlmDInferenceSim | ModelServer::Vllm => None,
        };
        endpoints.push(target::Endpoint {
            name,
            url: Some(url.parse()?),
            control,
        });
    }
    Ok(target::Pool {
        name: pool.name.clone(),
        weight: pool.weight,
        epp_metrics: Some(metrics),
        flow_control: Some(pool.flow_control),
        endpoints,
    })
}

async fn pods(cluster: &Cluster, kind: &str, namespace: &str, name: &str) -> Result<()> {
    wait(&format!("{kind} {namespace}/{name}"), PODS_TIMEOUT, || {
        workload(cluster, kind, namespace, name)
    })
    .await
}

async fn accepted(
    cluster: &Cluster,
    (api_version, kind): (&str, &str),
    (namespace, name): (&str, &str),
    (path, wanted): (&str, &[&str]),
) -> Result<()> {
    let what = format!("{kind} {namespace}/{name}");
    wait(&what, CONDITIONS_TIMEOUT, || async {
        let object = cluster.get(api_version, kind, namespace, name).await?;
        Ok(conditions(object.as_ref(), path, wanted))
    })
    .await
}

/// Waits until an endpoint picker has metrics of all endpoints; its readiness says less.
async fn knows_its_endpoints(http: &reqwest::Client, metrics: &Url, pool: &Pool) -> Result<()> {
    let what = format!("endpoint picker of pool {}", pool.name);
    wait(&what, CONDITIONS_TIMEOUT, || async {
        let known = match evidence::get(http, metrics).await {
            Ok(text) => evidence::epp::endpoints_known(&text, &pool.name),
            Err(error) => return Ok(State::NotYet(format!("{error:#}"))),
        };
        Ok(match known == pool.endpoints {
            true => State::Ready,
            false => State::NotYet(format!("it knows {known} of {} endpoints", pool.endpoints)),
        })
    })
    .await
}

/// Waits until an endpoint answers a request for a model that went through the gateway.
async fn first_answer(gateway: &Url, model: &str) -> Result<()> {
    let client = Client::new("first", gateway, Connections::NewPerRequest, Arc::default())?;
    wait(&format!("model {model}"), FIRST_ANSWER_TIMEOUT, || async {
        let request = Request::new(Api::Completions, model, 1, &mut rand::rng());
        let exchange = client.send(request).await;
        Ok(match served::is_by_an_endpoint(&exchange) {
            true => State::Ready,
            false => State::NotYet(exchange.describe()),
        })
    })
    .await
    .context("no answer through the gateway")
}

impl Place<'_> {
    fn helm(&self) -> Helm<'_> {
        Helm {
            nursery: self.nursery,
            kubeconfig: self.kubeconfig,
            context: self.context,
        }
    }
}
