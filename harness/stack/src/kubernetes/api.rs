//! Kinds, labels and simple objects that several parts deploy.

use serde_json::{Value, json};

/// The Gateway API.
pub(crate) const GATEWAY_API: &str = "gateway.networking.k8s.io/v1";
/// The InferencePool of GIE v1.5.0.
pub(crate) const INFERENCE_POOL: (&str, &str) = ("inference.networking.k8s.io/v1", "InferencePool");
/// The InferenceObjective of GIE v1.5.0.
pub(crate) const OBJECTIVE: (&str, &str) = (
    "inference.networking.x-k8s.io/v1alpha2",
    "InferenceObjective",
);
/// The label of everything that poolproof creates.
pub(crate) const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

/// An object's metadata, with poolproof's label.
pub(crate) fn metadata(name: &str, namespace: &str) -> Value {
    json!({"name": name, "namespace": namespace, "labels": {MANAGED_BY: "poolproof"}})
}

/// A Deployment of one pod, without placement or resource limits.
pub(crate) fn deployment(name: &str, namespace: &str, pod: Value) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(name, namespace),
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": pod},
        },
    })
}

/// The label that names the Gateway of a pod or Service (Gateway API, GEP-1762).
pub(crate) fn of_gateway(name: &str) -> String {
    format!("gateway.networking.k8s.io/gateway-name={name}")
}

/// Whether it is a label of RFC 1123, as names of namespaces and Services must be.
pub(crate) fn is_label(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (1..=63).contains(&name.len())
        && name.bytes().all(|byte| inner(byte) || byte == b'-')
        && name.bytes().next().is_some_and(inner)
        && name.bytes().last().is_some_and(inner)
}
