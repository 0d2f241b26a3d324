//! The components of a cluster: its API server, and images with names and digests.

use anyhow::Result;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde::Deserialize;

use crate::kubernetes::deployment::GATEWAY;
use crate::kubernetes::{Cluster, Deployment, selector};
use poolproof_model::component::Component;

/// The API server of a cluster.
pub(crate) async fn kube_api(cluster: &Cluster) -> Result<Component> {
    Ok(Component {
        role: "kube-api".to_owned(),
        version: format!("Kubernetes {}", cluster.version().await?),
    })
}

/// The component of a role: the distinct images of these pods; `None` without pods.
pub(crate) fn of_pods(role: &str, pods: &[Pod]) -> Option<Component> {
    let mut images: Vec<String> = pods.iter().filter_map(image).collect();
    images.sort_unstable();
    images.dedup();
    (!images.is_empty()).then(|| Component {
        role: role.to_owned(),
        version: images.join(", "),
    })
}

/// The image of a pod's first container as specified, and the digest under which the node has it (PodStatus v1,
/// `containerStatuses.imageID`).
fn image(pod: &Pod) -> Option<String> {
    let container = pod.spec.as_ref()?.containers.first()?;
    let statuses = pod
        .status
        .as_ref()
        .and_then(|status| status.container_statuses.as_ref());
    let mut statuses = statuses.into_iter().flatten();
    let status = statuses.find(|status| status.name == container.name);
    let id = status.map_or("", |status| status.image_id.as_str());
    let name = container.image.as_deref().unwrap_or_default();
    Some(match id.rsplit_once("sha256:") {
        Some((_, digits)) => format!("{name} (sha256:{digits})"),
        None => name.to_owned(),
    })
}

/// All components of a deployment.
pub(super) async fn deployed(cluster: &Cluster, deployment: &Deployment) -> Result<Vec<Component>> {
    let mut pickers = Vec::new();
    let mut model_servers = Vec::new();
    for pool in deployment.topology.pools() {
        let names = deployment.names(pool);
        pickers.push(("Deployment", &names.namespace, names.picker.as_str()));
        model_servers.push(("StatefulSet", &names.namespace, pool.name.as_str()));
    }
    let mut components = vec![kube_api(cluster).await?];
    for (role, workloads) in [
        (
            "gateway",
            vec![("Deployment", &deployment.namespace, GATEWAY)],
        ),
        ("epp", pickers),
        ("model-server", model_servers),
    ] {
        let mut pods = Vec::new();
        for (kind, namespace, name) in workloads {
            if let Some(found) = cluster.get("apps/v1", kind, namespace, name).await? {
                let selected = LabelSelector::deserialize(&found["spec"]["selector"])?;
                let labels = selector(&selected.match_labels.unwrap_or_default());
                pods.extend(cluster.read_all(namespace, &labels).await?);
            }
        }
        components.extend(of_pods(role, &pods));
    }
    Ok(components)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_component_is_each_image_of_its_pods_with_the_digest_that_the_node_has() {
        let pod = |image: &str, id: Option<&str>| {
            let pod = json!({
                "spec": {"containers": [{"name": "main", "image": image}, {"name": "beside", "image": "other"}]},
                "status": {"containerStatuses": [
                    {"name": "beside", "imageID": "sha256:0"},
                    {"name": "main", "imageID": id},
                ]},
            });
            serde_json::from_value(pod).unwrap()
        };
        let pods = [
            pod("sim:v2", Some("docker.io/library/sim@sha256:22")),
            pod("sim:v1", Some("sha256:11")),
            pod("sim:v1", Some("sha256:11")),
            pod("sim:v3", None),
        ];
        let component = of_pods("model-server", &pods).unwrap();
        assert_eq!(component.role, "model-server");
        assert_eq!(
            component.version,
            "sim:v1 (sha256:11), sim:v2 (sha256:22), sim:v3"
        );
        assert!(of_pods("epp", &[]).is_none());
    }
}
