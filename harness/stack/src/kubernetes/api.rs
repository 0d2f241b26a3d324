//! Kinds, labels and simple objects that several parts deploy.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec};
use k8s_openapi::api::core::v1::{
    ContainerPort, PodSpec, PodTemplateSpec, Probe, Service, ServicePort, ServiceSpec,
    TCPSocketAction,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde::Serialize;
use serde_json::Value;

/// The Gateway API.
pub(crate) const GATEWAY_API: &str = "gateway.networking.k8s.io/v1";
/// The InferencePool of GIE v1.5.0.
pub(crate) const INFERENCE_POOL: (&str, &str) = ("inference.networking.k8s.io/v1", "InferencePool");
/// The InferenceObjective of GIE v1.5.0.
pub(crate) const OBJECTIVE: (&str, &str) = (
    "inference.networking.x-k8s.io/v1alpha2",
    "InferenceObjective",
);
/// The version of InferenceObjectives and InferenceModelRewrites, in the group of GIE and in that of llm-d.
pub(crate) const OBJECTS_VERSION: &str = "v1alpha2";
/// The label of everything that poolproof creates.
pub(crate) const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

/// An object's metadata, with poolproof's label.
pub(crate) fn metadata(name: &str, namespace: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        namespace: Some(namespace.to_owned()),
        labels: Some(labels(&[(MANAGED_BY, "poolproof")])),
        ..ObjectMeta::default()
    }
}

/// Labels, or other texts by name.
pub(crate) fn labels(labels: &[(&str, &str)]) -> BTreeMap<String, String> {
    let labels = labels.iter();
    labels
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

/// An object in the form in which it is applied.
pub(crate) fn value(object: impl Serialize) -> Value {
    // Only a map with keys that are not texts fails, and Kubernetes has none.
    serde_json::to_value(object).unwrap_or_default()
}

/// A Deployment of one pod, without placement or resource limits.
pub(crate) fn deployment(name: &str, namespace: &str, pod: PodSpec) -> Deployment {
    Deployment {
        metadata: metadata(name, namespace),
        spec: DeploymentSpec {
            replicas: Some(1),
            selector: selects(name),
            template: template(labels(&[("app", name)]), pod),
            ..DeploymentSpec::default()
        },
        ..Deployment::default()
    }
}

/// Selects the pods of an app.
pub(crate) fn selects(app: &str) -> LabelSelector {
    LabelSelector {
        match_labels: Some(labels(&[("app", app)])),
        ..LabelSelector::default()
    }
}

/// Pods with these labels.
pub(crate) fn template(labels: BTreeMap<String, String>, pod: PodSpec) -> PodTemplateSpec {
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(labels),
            ..ObjectMeta::default()
        }),
        spec: Some(pod),
    }
}

/// A Service with one port, named, for the pods of the app of its name.
pub(crate) fn service(name: &str, namespace: &str, port: (&str, u16)) -> Service {
    Service {
        metadata: metadata(name, namespace),
        spec: Some(ServiceSpec {
            selector: Some(labels(&[("app", name)])),
            ports: Some(vec![ServicePort {
                name: Some(port.0.to_owned()),
                port: i32::from(port.1),
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

/// A port of a container.
pub(crate) fn container_port(port: u16) -> ContainerPort {
    ContainerPort {
        container_port: i32::from(port),
        ..ContainerPort::default()
    }
}

/// A check every second.
pub(crate) fn every_second(check: Probe) -> Probe {
    Probe {
        period_seconds: Some(1),
        ..check
    }
}

/// Checks every second whether a port listens.
pub(crate) fn listens(port: u16) -> Probe {
    every_second(Probe {
        tcp_socket: Some(TCPSocketAction {
            port: IntOrString::Int(i32::from(port)),
            host: None,
        }),
        ..Probe::default()
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
