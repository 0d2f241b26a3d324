//! The controller of agentgateway: installed if a cluster has none, and removed again only if poolproof installed it.

use anyhow::Result;
use futures_util::FutureExt;
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt;
use serde_json::{Value, json};

use super::manifests::{CONTROLLER, CONTROLLER_NAMESPACE, controller_namespace, controller_values};
use crate::kubernetes::api::{GATEWAY_API, MANAGED_BY};
use crate::kubernetes::ready::{PODS_TIMEOUT, State, accepted, pods, wait};
use crate::kubernetes::{Cluster, Helm, Site, text};

const CLASS: (&str, &str) = (GATEWAY_API, "GatewayClass");
pub(super) const DEFINITIONS: &str = "agentgateway-crds";

/// Installs the controller unless the cluster has one, and waits until its GatewayClass is accepted.
pub(super) async fn install(site: &Site<'_>) -> Result<()> {
    let cluster = site.cluster;
    let namespace = namespace(cluster).await?;
    let class = cluster.get(CLASS.0, CLASS.1, "", CONTROLLER).await?;
    if class.is_some() && !namespace.as_ref().is_some_and(is_ours) {
        return Ok(());
    }
    if namespace.is_none() {
        cluster.apply(&controller_namespace()).await?;
    }
    for (chart, values) in [(DEFINITIONS, json!({})), (CONTROLLER, controller_values())] {
        let release = (chart, CONTROLLER_NAMESPACE);
        site.install(release, chart, &values).await?;
    }
    pods(cluster, "Deployment", CONTROLLER_NAMESPACE, CONTROLLER).await?;
    let accepted_by: (_, &[_]) = ("/status/conditions", &["Accepted"]);
    accepted(cluster, CLASS, ("", CONTROLLER), accepted_by).await
}

/// Removes a controller that poolproof has installed, unless another Gateway needs it.
pub(super) async fn uninstall(cluster: &Cluster, helm: &Helm<'_>) -> Result<()> {
    if !namespace(cluster).await?.as_ref().is_some_and(is_ours) {
        return Ok(());
    }
    let gateways = cluster.list(GATEWAY_API, "Gateway", "", "").await?;
    let needed = |gateway: &Value| text(gateway, "/spec/gatewayClassName") == CONTROLLER;
    if gateways.iter().any(needed) {
        return Ok(());
    }
    for chart in [CONTROLLER, DEFINITIONS] {
        helm.uninstall((chart, CONTROLLER_NAMESPACE)).await?;
    }
    // The controller creates the GatewayClass; the chart does not.
    cluster.delete(CLASS, "", CONTROLLER).await?;
    let own = ("v1", "Namespace");
    cluster.delete(own, "", CONTROLLER_NAMESPACE).await?;
    let removed = || {
        async {
            Ok(match namespace(cluster).await? {
                None => State::Ready,
                Some(_) => {
                    State::NotYet(format!("namespace {CONTROLLER_NAMESPACE} is still there"))
                }
            })
        }
        .boxed()
    };
    wait("removal of the controller", PODS_TIMEOUT, &removed).await
}

async fn namespace(cluster: &Cluster) -> Result<Option<Namespace>> {
    cluster.read("", CONTROLLER_NAMESPACE).await
}

fn is_ours(namespace: &Namespace) -> bool {
    let owner = namespace.labels().get(MANAGED_BY);
    owner.is_some_and(|owner| owner == "poolproof")
}
