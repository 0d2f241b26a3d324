//! Pools: their objectives, their endpoint pickers, and the values of the chart that brings GIE's.

use poolproof_fixtures::flaw::Component;
use serde_json::{Value, json};

use super::model_servers::PORT;
use super::{Plan, deployment, metadata, own_pod};
use crate::stack::parts::EndpointPicker;
use crate::stack::{flawed, gie, own_epp};
use crate::topology::Pool;

/// The InferencePool of GIE v1.5.0.
pub(in crate::stack) const INFERENCE_POOL: (&str, &str) =
    ("inference.networking.k8s.io/v1", "InferencePool");
/// The InferenceObjective of GIE v1.5.0.
pub(in crate::stack) const OBJECTIVE: (&str, &str) = (
    "inference.networking.x-k8s.io/v1alpha2",
    "InferenceObjective",
);

pub(super) const EPP_PORT: u16 = 9002;
pub(in crate::stack) const EPP_METRICS_PORT: u16 = 9090;

/// The objectives of a pool; with the reference endpoint picker also that and the InferencePool, which otherwise the chart
/// makes.
pub(super) fn of_pool(plan: &Plan, pool: &Pool) -> Vec<Value> {
    let namespace = plan.namespace_of(pool);
    let objectives = plan.topology.objectives.iter();
    let mut objects: Vec<Value> = objectives
        .filter(|_| plan.host(pool).name == pool.name)
        .map(|(name, priority)| {
            json!({
                "apiVersion": OBJECTIVE.0,
                "kind": OBJECTIVE.1,
                "metadata": metadata(name, &namespace),
                "spec": {
                    "priority": flawed::priority(*priority, plan.flaw),
                    "poolRef": {"group": "inference.networking.k8s.io", "kind": "InferencePool", "name": pool.name},
                },
            })
        })
        .collect();
    if plan.parts.epp == EndpointPicker::Poolproof {
        objects.push(json!({
            "apiVersion": INFERENCE_POOL.0,
            "kind": INFERENCE_POOL.1,
            "metadata": metadata(&pool.name, &namespace),
            "spec": {
                "selector": {"matchLabels": endpoint_labels(pool)},
                "targetPorts": [{"number": PORT}],
                "endpointPickerRef": {"name": epp_name(pool), "port": {"number": EPP_PORT}, "failureMode": "FailClose"},
            },
        }));
        objects.extend(reference(plan, pool, &namespace));
    }
    objects
}

/// The name of the endpoint picker of a pool, as the chart gives it.
pub(in super::super) fn epp_name(pool: &Pool) -> String {
    format!("{}-epp", pool.name)
}

/// The labels of the pod of an endpoint picker, as the chart gives them.
pub(in super::super) fn epp_labels(plan: &Plan, pool: &Pool) -> String {
    match plan.parts.epp {
        EndpointPicker::Gie => format!("inferencepool={}", epp_name(pool)),
        EndpointPicker::Poolproof => format!("app={}", epp_name(pool)),
    }
}

/// Where the gateway finds the endpoint picker of a pool.
pub(super) fn epp_host(plan: &Plan, pool: &Pool) -> String {
    format!("{}.{}.svc", epp_name(pool), plan.namespace_of(pool))
}

/// Values of GIE's chart `inferencepool` for a pool: the configuration that every stack gives to its endpoint picker, FailClose,
/// and no more of the node than it takes.
pub(in super::super) fn epp_values(plan: &Plan, pool: &Pool) -> Value {
    let config = gie::config(&plan.topology, pool, plan.flaw);
    json!({
        "inferenceExtension": {
            "image": {"pullPolicy": "IfNotPresent"},
            "failureMode": "FailClose",
            "pluginsConfigFile": "poolproof.yaml",
            "pluginsCustomConfig": {"poolproof.yaml": format!("{config:#}")},
            "flags": {
                "v": "1",
                "refresh-metrics-interval": gie::scrape_interval(pool),
                "refresh-prometheus-metrics-interval": "1s",
            },
            "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "2Gi"}},
            // Its ServiceAccount may not ask who a reader is, so that with authentication nobody could read.
            "monitoring": {"prometheus": {"enabled": false, "auth": {"enabled": false}}},
        },
        "inferencePool": {
            "targetPorts": [{"number": PORT}],
            "modelServers": {"matchLabels": endpoint_labels(pool)},
        },
        "provider": {"name": "none"},
    })
}

/// The label by whose value an endpoint is in its pool or not. Nothing but the InferencePool selects by it.
pub(in crate::stack) const MEMBER_LABEL: &str = "poolproof.dev/member";

/// The labels of the pods that are endpoints of a pool.
pub(super) fn endpoint_labels(pool: &Pool) -> Value {
    json!({"app": pool.name, MEMBER_LABEL: "true"})
}

/// The reference endpoint picker, told its endpoints by the names that DNS has for them.
fn reference(plan: &Plan, pool: &Pool, namespace: &str) -> Vec<Value> {
    let name = epp_name(pool);
    let listen = ("0.0.0.0:9002", "0.0.0.0:9090");
    let args = own_epp::args(&plan.topology, pool, namespace, listen, |endpoint| {
        format!("{endpoint}.{}.{namespace}.svc:{PORT}", pool.name)
    });
    let ports = [EPP_PORT, EPP_METRICS_PORT];
    let pod = own_pod(plan, ("epp", Component::EndpointPicker), args, &ports);
    vec![
        deployment(&name, namespace, pod),
        json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata(&name, namespace),
            "spec": {"selector": {"app": name}, "ports": [{"name": "grpc-ext-proc", "port": EPP_PORT}]},
        }),
    ]
}
