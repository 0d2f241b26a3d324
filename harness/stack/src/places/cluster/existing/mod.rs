//! Reads an existing cluster: Gateways, HTTPRoutes to InferencePools, endpoint pickers and Pods. Changes nothing.

mod picker;
mod routes;

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service};
use kube::ResourceExt;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use crate::kubernetes::api::{GATEWAY_API, INFERENCE_POOL, OBJECTIVE, of_gateway};
use crate::kubernetes::{Cluster, Forwards, To, list, selector, text};
use crate::parts::gie::config::ADAPTERS_LABEL;
use crate::places::deployment::components;
use crate::progress::Progress;
use poolproof_client as client;
use poolproof_client::evidence;
use poolproof_model::component::Component;
use poolproof_model::target::{self, Target};
use routes::{Backend, Names};

/// The kinds of InferenceObjective: that of GIE v1.5.0, and its successor in llm-d.
const OBJECTIVES: [(&str, &str); 2] = [OBJECTIVE, ("llm-d.ai/v1alpha2", "InferenceObjective")];

/// The namespace of our own pods beside the Gateway, and its URL.
pub(super) struct Beside {
    pub(super) namespace: String,
    /// The URL of the Gateway for these pods, if known.
    pub(super) gateway: Option<Url>,
}

/// Reads the cluster and opens forwards to its pods. Reports to `progress` what was recognized.
pub(super) async fn read(
    cluster: &Cluster,
    options: &crate::options::Options,
    progress: &mut Progress<'_>,
) -> Result<(Target, Vec<Component>, Forwards, Beside)> {
    let namespace = options.cluster.namespace.as_deref().unwrap_or_default();
    let routes = cluster
        .list(GATEWAY_API, "HTTPRoute", namespace, "")
        .await?;
    let url = options.cluster.gateway_url.as_ref();
    let (routes, unusable) = routes::read(&routes, url.and_then(Url::host_str));
    for reason in &unusable {
        progress.done(format!("not used: {reason}"));
    }
    ensure!(
        !routes.is_empty(),
        "no HTTPRoute to an InferencePool can be used{}",
        unusable
            .iter()
            .fold(String::new(), |all, reason| all + "\n  " + reason)
    );
    let http = client::http(usize::MAX)?;
    let mut forwards = Forwards::default();
    let adapters = adapters(cluster, namespace).await;
    let mut objectives = BTreeMap::new();
    let (mut pickers, mut model_servers) = (Vec::new(), Vec::new());
    let mut models: Vec<target::Model> = Vec::new();
    for route in &routes {
        let mut pools = Vec::new();
        for backend in &route.pools {
            let found = pool(cluster, backend, &http, &mut forwards).await?;
            let pool = found.pool;
            pickers.extend(found.picker);
            model_servers.extend(found.endpoints);
            objectives.extend(objectives_of(cluster, backend).await?);
            progress.done(format!(
                "{}: pool {}/{}, weight {}, {} endpoints",
                route.of,
                backend.namespace,
                backend.name,
                backend.weight,
                pool.endpoints.len()
            ));
            pools.push(pool);
        }
        let name = match &route.model {
            Names::Exactly(name) => Some(name.clone()),
            names => served(&http, &pools)
                .await
                .into_iter()
                .find(|name| names.take(name) && models.iter().all(|model| model.name != *name)),
        };
        let Some(name) = name else {
            progress.done(format!(
                "not used: {}: it names no single model, and no endpoint of its pools lists one for it in /v1/models",
                route.of
            ));
            continue;
        };
        progress.done(format!("model {name}: {}", route.of));
        models.push(target::Model {
            adapters: adapters.get(&name).cloned().unwrap_or_default(),
            name,
            request_timeout_ms: None,
            rewrites: BTreeMap::new(),
            pools,
        });
    }
    ensure!(
        !models.is_empty(),
        "no HTTPRoute to an InferencePool leads to a model whose name is known"
    );
    let (gateway_namespace, gateway_name) = &routes[0].gateway;
    let gateway = cluster
        .get(GATEWAY_API, "Gateway", gateway_namespace, gateway_name)
        .await?
        .with_context(|| format!("there is no Gateway {gateway_namespace}/{gateway_name}"))?;
    let url = match &options.cluster.gateway_url {
        Some(url) => url.clone(),
        None => gateway_url(cluster, &gateway, &mut forwards).await?,
    };
    progress.done(format!(
        "gateway {gateway_namespace}/{gateway_name} at {url}"
    ));
    let class = text(&gateway, "/spec/gatewayClassName");
    let target = Target {
        models,
        objectives,
        ..Target::at(format!("cluster ({class})"), url)
    };
    let labels = of_gateway(gateway_name);
    // Without permission to list pods, or with a gateway outside of the cluster, only the class is known.
    let gateways = cluster.read_all(gateway_namespace, &labels).await;
    let by_class = || Component {
        role: "gateway".to_owned(),
        version: format!("GatewayClass {class}"),
    };
    let mut components = vec![
        components::kube_api(cluster).await?,
        components::of_pods("gateway", &gateways.unwrap_or_default()).unwrap_or_else(by_class),
    ];
    components.extend(components::of_pods("epp", &pickers));
    components.extend(components::of_pods("model-server", &model_servers));
    let beside = Beside {
        gateway: url_inside(cluster, &gateway).await,
        namespace: match namespace {
            "" => gateway_namespace.clone(),
            named => named.to_owned(),
        },
    };
    Ok((target, components, forwards, beside))
}

/// The base models in `/v1/models` of the first endpoint that answers; empty if none answers.
async fn served(http: &reqwest::Client, pools: &[target::Pool]) -> Vec<String> {
    let urls = pools.iter().flat_map(|pool| &pool.endpoints);
    for url in urls.filter_map(|endpoint| endpoint.url.as_ref()) {
        let Ok(models) = url.join("/v1/models") else {
            continue;
        };
        let text = evidence::get(http, &models).await.unwrap_or_default();
        if let Ok(listed) = serde_json::from_str::<Value>(&text) {
            return base_models(&listed);
        }
    }
    Vec::new()
}

/// The names in an answer of `/v1/models`, except LoRA adapters, which have a parent.
fn base_models(listed: &Value) -> Vec<String> {
    let models = list(&listed["data"]).filter(|model| model["parent"].is_null());
    let names = models.filter_map(|model| model["id"].as_str());
    names.map(str::to_owned).collect()
}

/// A pool with its pods.
struct Found {
    pool: target::Pool,
    picker: Vec<Pod>,
    endpoints: Vec<Pod>,
}

/// Reads a pool with its endpoints and the data of its endpoint picker.
async fn pool(
    cluster: &Cluster,
    backend: &Backend,
    http: &reqwest::Client,
    forwards: &mut Forwards,
) -> Result<Found> {
    let namespace = backend.namespace.as_str();
    let (api, kind) = INFERENCE_POOL;
    let pool = cluster
        .get(api, kind, namespace, &backend.name)
        .await?
        .with_context(|| format!("there is no InferencePool {namespace}/{}", backend.name))?;
    let labels = BTreeMap::deserialize(&pool["spec"]["selector"]["matchLabels"]);
    let labels = selector(&labels.unwrap_or_default());
    let port = pool["spec"]["targetPorts"][0]["number"]
        .as_u64()
        .unwrap_or(8000) as u16;
    let mut endpoints = Vec::new();
    let pods = cluster.read_all::<Pod>(namespace, &labels).await?;
    for pod in &pods {
        let name = pod.name_any();
        let url = forwards
            .add(cluster, namespace, To::Pod(name.clone()), port)
            .await?;
        let url: Url = url.parse()?;
        // Only our own model server has a control API; others answer 404.
        let control = url.join("/poolproof")?;
        let state = control.as_str().trim_end_matches('/').to_owned() + "/state";
        let ours = evidence::get(http, &state.parse()?).await.is_ok();
        endpoints.push(target::Endpoint {
            name,
            url: Some(url),
            control: ours.then_some(control),
        });
    }
    let picker = picker::read(cluster, namespace, &pool, http, forwards).await?;
    Ok(Found {
        pool: target::Pool {
            name: backend.name.clone(),
            weight: backend.weight,
            epp_metrics: picker.metrics,
            flow_control: picker.flow_control,
            fair_flows: picker.fair_flows,
            prefix_affinity: picker.prefix_affinity,
            session_header: None,
            held_ttl_ms: None,
            max_in_flight: None,
            held_max: BTreeMap::new(),
            endpoints,
        },
        picker: picker.pods,
        endpoints: pods,
    })
}

/// The LoRA adapters of base models, from the ConfigMaps of GIE's body-based router; empty if those are not readable.
async fn adapters(cluster: &Cluster, namespace: &str) -> BTreeMap<String, Vec<String>> {
    let label = format!("{ADAPTERS_LABEL}=true");
    let configs = cluster.read_all::<ConfigMap>(namespace, &label).await;
    let mut adapters: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for config in configs.unwrap_or_default() {
        let mut data = config.data.unwrap_or_default();
        let mut text = |key| data.remove(key).unwrap_or_default();
        let of = adapters.entry(text("baseModel"));
        let names = serde_saphyr::from_str::<Vec<String>>(&text("adapters"));
        of.or_default().extend(names.unwrap_or_default());
    }
    adapters
}

/// The objectives of a pool, by name.
async fn objectives_of(cluster: &Cluster, backend: &Backend) -> Result<BTreeMap<String, i32>> {
    for (api, kind) in OBJECTIVES {
        if !cluster.serves(api, kind).await {
            continue;
        }
        let all = cluster.list(api, kind, &backend.namespace, "").await?;
        let of_pool = all
            .iter()
            .filter(|objective| objective["spec"]["poolRef"]["name"] == backend.name.as_str())
            .filter_map(|objective| {
                let name = objective["metadata"]["name"].as_str()?.to_owned();
                let priority = objective["spec"]["priority"].as_i64().unwrap_or(0);
                Some((name, i32::try_from(priority).ok()?))
            });
        return Ok(of_pool.collect());
    }
    Ok(BTreeMap::new())
}

/// The address in a Gateway's status; without one, a forward through the cluster's API to its pods.
async fn gateway_url(cluster: &Cluster, gateway: &Value, forwards: &mut Forwards) -> Result<Url> {
    let (scheme, port) = listener(gateway);
    let address = text(gateway, "/status/addresses/0/value");
    // A Service name does not resolve outside of the cluster.
    let (namespace, name) = (
        text(gateway, "/metadata/namespace"),
        text(gateway, "/metadata/name"),
    );
    // Without permission to list Services, only the default ranges of kubeadm and k3s are recognized.
    let services = cluster.read_all(namespace, "").await;
    let services = services.unwrap_or_default();
    if !address.is_empty()
        && !address.ends_with(".cluster.local")
        && !is_cluster_ip(address, &services)
    {
        return Ok(format!("{scheme}://{address}:{port}").parse()?);
    }
    let labels = of_gateway(name);
    let forward = forwards
        .add(cluster, namespace, To::Labelled(labels), port)
        .await?;
    Ok(forward.parse()?)
}

/// The URL of a Gateway for pods: its Service (GEP-1762), otherwise the address in its status.
async fn url_inside(cluster: &Cluster, gateway: &Value) -> Option<Url> {
    let (namespace, name) = (
        text(gateway, "/metadata/namespace"),
        text(gateway, "/metadata/name"),
    );
    let labels = of_gateway(name);
    // Without permission to list Services, the address of the status remains.
    let services = cluster.read_all::<Service>(namespace, &labels).await;
    let services = services.unwrap_or_default();
    let host = match services.first() {
        Some(service) => format!("{}.{namespace}.svc", service.name_any()),
        None => text(gateway, "/status/addresses/0/value").to_owned(),
    };
    let (scheme, port) = listener(gateway);
    format!("{scheme}://{host}:{port}/").parse().ok()
}

/// The scheme and the port of a Gateway's first listener.
fn listener(gateway: &Value) -> (&'static str, u16) {
    let listener = &gateway["spec"]["listeners"][0];
    let scheme = match listener["protocol"].as_str() {
        Some("HTTPS") => "https",
        _ => "http",
    };
    (scheme, listener["port"].as_u64().unwrap_or(80) as u16)
}

/// Whether an address is the cluster IP of one of these Services. Without Services: whether it lies in a default
/// Service range.
fn is_cluster_ip(address: &str, services: &[Service]) -> bool {
    if services.is_empty() {
        return address.starts_with("10.96.") || address.starts_with("10.43.");
    }
    let mut specs = services.iter().filter_map(|service| service.spec.as_ref());
    specs.any(|spec| {
        let more = spec.cluster_ips.iter().flatten();
        spec.cluster_ip.iter().chain(more).any(|ip| ip == address)
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_cluster_ip_of_any_range_is_known_by_its_service() {
        let service =
            json!({"spec": {"clusterIP": "172.20.0.9", "clusterIPs": ["172.20.0.9", "fd00::9"]}});
        let services = [serde_json::from_value(service).unwrap()];
        assert!(is_cluster_ip("172.20.0.9", &services));
        assert!(is_cluster_ip("fd00::9", &services));
        // A load balancer's address may lie in a range that is the default for Services elsewhere.
        assert!(!is_cluster_ip("10.96.1.1", &services));
        assert!(is_cluster_ip("10.96.1.1", &[]));
    }

    #[test]
    fn adapters_are_no_base_models() {
        let listed = json!({"data": [{"id": "m"}, {"id": "lora", "parent": "m"}]});
        assert_eq!(base_models(&listed), ["m"]);
        assert!(base_models(&json!("text")).is_empty());
    }
}
