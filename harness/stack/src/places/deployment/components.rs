//! The components of a cluster: its API server, and images with names and digests.

use anyhow::Result;
use serde_json::Value;

use crate::kubernetes::deployment::GATEWAY;
use crate::kubernetes::{Cluster, Deployment, selector, text};
use poolproof_model::component::Component;

/// The API server of a cluster.
pub(crate) async fn kube_api(cluster: &Cluster) -> Result<Component> {
    Ok(Component {
        role: "kube-api".to_owned(),
        version: format!("Kubernetes {}", cluster.version().await?),
    })
}

/// The component of a role: the distinct images of these pods; `None` without pods.
pub(crate) fn of_pods(role: &str, pods: &[Value]) -> Option<Component> {
    let mut images: Vec<String> = pods.iter().map(image).collect();
    images.sort_unstable();
    images.dedup();
    (!images.is_empty()).then(|| Component {
        role: role.to_owned(),
        version: images.join(", "),
    })
}

/// The image of a pod's first container as specified, and the digest under which the node has it (PodStatus v1,
/// `containerStatuses.imageID`).
fn image(pod: &Value) -> String {
    let container = &pod["spec"]["containers"][0];
    let statuses = pod["status"]["containerStatuses"].as_array();
    let status = statuses
        .into_iter()
        .flatten()
        .find(|status| status["name"] == container["name"]);
    let id = status.map_or("", |status| text(status, "/imageID"));
    let name = text(container, "/image");
    match id.rsplit_once("sha256:") {
        Some((_, digits)) => format!("{name} (sha256:{digits})"),
        None => name.to_owned(),
    }
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
                let labels = selector(&found["spec"]["selector"]["matchLabels"]);
                pods.extend(cluster.list("v1", "Pod", namespace, &labels).await?);
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
            json!({
                "spec": {"containers": [{"name": "main", "image": image}, {"name": "beside", "image": "other"}]},
                "status": {"containerStatuses": [
                    {"name": "beside", "imageID": "sha256:0"},
                    {"name": "main", "imageID": id},
                ]},
            })
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
