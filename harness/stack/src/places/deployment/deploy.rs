//! Deploys a topology to a cluster, and removes it.

use anyhow::{Result, anyhow};
use futures_util::FutureExt;
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt;
use serde_json::json;
use url::Url;

use super::components;
use super::objects::{self, MARK};
use super::ready::{first_answer, knows_its_endpoints};
use crate::kubernetes::deployment::{EPP_METRICS_PORT, GATEWAY, MODEL_SERVER_PORT, STACK_LABEL};
use crate::kubernetes::diagnose::diagnose;
use crate::kubernetes::ready::{PODS_TIMEOUT, State, pods, wait};
use crate::kubernetes::{Cluster, Deployment, Forwards, Site, To, crds};
use crate::parts;
use crate::progress::Progress;
use poolproof_client as client;
use poolproof_model::component::Component;
use poolproof_model::target::{PoolUrls, Target, Urls};
use poolproof_model::topology::Pool;

/// The CRD files that every cluster needs, by their names in `kind/versions.toml`.
pub(crate) const DEFINITIONS: [&str; 2] = ["gateway-api", "inference-extension"];

/// Deploys to a cluster, and waits until a request gets through to each model. Existing objects of the same deployment
/// are updated; those of another are removed. On failure the error includes a diagnosis of the cluster.
pub(crate) async fn deploy(
    site: &Site<'_>,
    deployment: &Deployment,
    progress: &mut Progress<'_>,
) -> Result<(Target, Vec<Component>, Forwards)> {
    match steps(site, deployment, progress).await {
        Ok(deployed) => Ok(deployed),
        Err(error) => {
            let mut namespaces = deployment.namespaces();
            namespaces.extend(parts::gateway(deployment.parts.gateway).controller_namespace());
            let found = diagnose(site.cluster, &namespaces).await;
            Err(match found.as_slice() {
                [] => error,
                _ => anyhow!("{error:#}\n  {}", found.join("\n  ")),
            })
        }
    }
}

async fn steps(
    site: &Site<'_>,
    deployment: &Deployment,
    progress: &mut Progress<'_>,
) -> Result<(Target, Vec<Component>, Forwards)> {
    let cluster = site.cluster;
    let gateway = parts::gateway(deployment.parts.gateway);
    for name in DEFINITIONS {
        crds::apply(cluster, &site.artifacts.crds(name).await?).await?;
    }
    progress.done("custom resource definitions");
    if let Some(installed) = gateway.install(site).await? {
        progress.done(installed);
    }
    apply(site, deployment, progress).await?;

    for pool in deployment.topology.pools() {
        let namespace = &deployment.names(pool).namespace;
        pods(cluster, "StatefulSet", namespace, &pool.name).await?;
    }
    progress.done("model servers");

    let http = client::http(usize::MAX)?;
    let mut forwards = Forwards::by_node(site.node).await;
    let mut pools = Vec::new();
    for pool in deployment.topology.pools() {
        pools.push(pool_ready(cluster, deployment, pool, &http, &mut forwards).await?);
    }
    progress.done("endpoint pickers, each with all its endpoints");

    let namespace = deployment.namespace.as_str();
    gateway.accepted(cluster, deployment).await?;
    // `Programmed` can be true while the proxy's pod cannot run yet.
    pods(cluster, "Deployment", namespace, GATEWAY).await?;
    let url = match &site.gateway {
        Some(gateway) => gateway.clone(),
        None => {
            let (labels, port) = deployment.gateway_pod.clone();
            let forward = forwards.add(cluster, namespace, To::Labelled(labels), port);
            forward.await?.parse()?
        }
    };
    for model in &deployment.topology.models {
        first_answer(&url, &model.name).await?;
    }
    progress.done("gateway, to the first answer for each model");

    let urls = Urls {
        gateway: url,
        pools,
    };
    let target = parts::target(&deployment.topology, deployment.parts, urls)?;
    let components = components::deployed(cluster, deployment).await?;
    Ok((target, components, forwards))
}

/// Applies all objects, and the charts of endpoint pickers.
async fn apply(
    site: &Site<'_>,
    deployment: &Deployment,
    progress: &mut Progress<'_>,
) -> Result<()> {
    let (cluster, namespace) = (site.cluster, &deployment.namespace);
    let mut objects = objects::of(deployment)?;
    let mark = objects.mark(deployment);
    if let Some(found) = cluster.read::<Namespace>("", namespace).await?
        && found.annotations().get(MARK) != Some(&mark)
    {
        remove(cluster, namespace).await?;
        progress.done("removal of another topology");
    }
    objects.namespaces[0]["metadata"]["annotations"] = json!({MARK: mark});
    cluster.apply_all(&objects.namespaces).await?;
    cluster.apply_all(&objects.pools).await?;
    let picker = parts::picker(deployment.parts.epp);
    for pool in deployment.topology.pools() {
        if let Some((chart, values)) = picker.chart(deployment, pool) {
            let release = (pool.name.as_str(), &*deployment.names(pool).namespace);
            site.install(release, chart, &values).await?;
        }
    }
    cluster.apply_all(&objects.gateway).await?;
    progress.done("objects");
    Ok(())
}

/// Deletes the namespaces of a stack with everything in them, and waits until they are gone.
pub(crate) async fn remove(cluster: &Cluster, stack: &str) -> Result<()> {
    let labels = format!("{STACK_LABEL}={stack}");
    for namespace in cluster.namespaces(&labels).await? {
        cluster.delete(("v1", "Namespace"), "", &namespace).await?;
    }
    let removed = || {
        async {
            Ok(match cluster.namespaces(&labels).await?.as_slice() {
                [] => State::Ready,
                left => State::NotYet(format!("{} are still there", left.join(", "))),
            })
        }
        .boxed()
    };
    wait("removal of namespaces", PODS_TIMEOUT, &removed).await
}

/// Waits until a pool's endpoint picker knows all endpoints. Opens forwards to the picker and the endpoints.
async fn pool_ready(
    cluster: &Cluster,
    deployment: &Deployment,
    pool: &Pool,
    http: &reqwest::Client,
    forwards: &mut Forwards,
) -> Result<PoolUrls> {
    let names = deployment.names(pool);
    let namespace = &names.namespace;
    pods(cluster, "Deployment", namespace, &names.picker).await?;
    let picker = To::Labelled(names.picker_labels.clone());
    let metrics = forwards
        .add(cluster, namespace, picker, EPP_METRICS_PORT)
        .await?;
    let metrics: Url = format!("{metrics}/metrics").parse()?;
    knows_its_endpoints(http, &metrics, pool).await?;
    let mut endpoints = Vec::new();
    for name in pool.endpoint_names() {
        let forward = forwards.add(cluster, namespace, To::Pod(name), MODEL_SERVER_PORT);
        endpoints.push(forward.await?.parse()?);
    }
    Ok(PoolUrls {
        epp_metrics: metrics,
        endpoints,
    })
}
