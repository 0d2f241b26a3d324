//! The objects of the reference endpoint picker: its InferencePool, its Deployment and its Service.

use poolproof_fixtures::flaw::Component;
use serde_json::{Value, json};

use super::config;
use crate::kubernetes::Deployment;
use crate::kubernetes::api::{INFERENCE_POOL, metadata, service, value};
use crate::kubernetes::deployment::{EPP_METRICS_PORT, EPP_PORT, MODEL_SERVER_PORT};
use poolproof_model::topology::Pool;

/// The objects of a pool. The picker gets its endpoints by their DNS names.
pub(super) fn objects(deployment: &Deployment, pool: &Pool) -> Vec<Value> {
    let names = deployment.names(pool);
    let (name, namespace) = (&names.picker, names.namespace.as_str());
    let listen = ("0.0.0.0:9002", "0.0.0.0:9090");
    let args = config::args(&deployment.topology, pool, namespace, listen, |endpoint| {
        format!(
            "{endpoint}.{}.{namespace}.svc:{MODEL_SERVER_PORT}",
            pool.name
        )
    });
    let ports = [EPP_PORT, EPP_METRICS_PORT];
    let own = (name.as_str(), namespace);
    vec![
        json!({
            "apiVersion": INFERENCE_POOL.0,
            "kind": INFERENCE_POOL.1,
            "metadata": metadata(&pool.name, namespace),
            "spec": {
                "selector": {"matchLabels": names.endpoint_labels},
                "targetPorts": [{"number": MODEL_SERVER_PORT}],
                "endpointPickerRef": {"name": name, "port": {"number": EPP_PORT}, "failureMode": "FailClose"},
            },
        }),
        deployment.own_part(own, Component::EndpointPicker, args, &ports),
        value(service(name, namespace, ("grpc-ext-proc", EPP_PORT))),
    ]
}
