//! agentgateway: the Gateway, the policy that copies the model name into a header, a route per model.
//!
//! Source: agentgateway v1.2.1, api/v1alpha1; Gateway API v1.5.1.

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};

use crate::kubernetes::Deployment;
use crate::kubernetes::api::{GATEWAY_API, MANAGED_BY, labels, metadata, value};
use crate::kubernetes::deployment::{GATEWAY, STACK_LABEL};
use crate::parts::flawed::weights;

/// The namespace and the name of its controller, as in its documentation.
pub(super) const CONTROLLER_NAMESPACE: &str = "agentgateway-system";
/// The Deployment of its controller, and its GatewayClass.
pub(super) const CONTROLLER: &str = "agentgateway";

const MODEL_HEADER: &str = "X-Gateway-Base-Model-Name";

/// The namespace of a controller that poolproof has installed.
pub(super) fn controller_namespace() -> Value {
    value(Namespace {
        metadata: ObjectMeta {
            name: Some(CONTROLLER_NAMESPACE.to_owned()),
            labels: Some(labels(&[(MANAGED_BY, "poolproof")])),
            ..ObjectMeta::default()
        },
        ..Namespace::default()
    })
}

/// Values of the controller's chart.
pub(super) fn controller_values() -> Value {
    json!({"inferenceExtension": {"enabled": true}})
}

pub(super) fn objects(deployment: &Deployment) -> Vec<Value> {
    let namespace = &deployment.namespace;
    let mut objects = vec![
        json!({
            "apiVersion": "agentgateway.dev/v1alpha1",
            "kind": "AgentgatewayParameters",
            "metadata": metadata(GATEWAY, namespace),
            "spec": {"service": {"spec": deployment.gateway_ports(80)}},
        }),
        json!({
            "apiVersion": GATEWAY_API,
            "kind": "Gateway",
            "metadata": metadata(GATEWAY, namespace),
            "spec": {
                "gatewayClassName": CONTROLLER,
                "infrastructure": {"parametersRef": {
                    "group": "agentgateway.dev", "kind": "AgentgatewayParameters", "name": GATEWAY,
                }},
                "listeners": [{
                    "name": "http", "port": 80, "protocol": "HTTP",
                    "allowedRoutes": {"namespaces": {
                        "from": "Selector", "selector": {"matchLabels": {STACK_LABEL: namespace}},
                    }},
                }],
            },
        }),
        json!({
            "apiVersion": "agentgateway.dev/v1alpha1",
            "kind": "AgentgatewayPolicy",
            "metadata": metadata("body-based-routing", namespace),
            "spec": {
                "targetRefs": [{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": GATEWAY}],
                "traffic": {
                    "phase": "PreRouting",
                    "transformation": {"request": {"set": [
                        {"name": MODEL_HEADER, "value": "string(json(request.body).model)"},
                    ]}},
                },
            },
        }),
    ];
    objects.extend(deployment.topology.models.iter().enumerate().map(|(number, model)| {
        let pools = model.pools.iter().zip(weights(model, deployment.flaw));
        let backends = pools.map(|(pool, weight)| {
            json!({
                "group": "inference.networking.k8s.io",
                "kind": "InferencePool",
                "name": pool.name,
                "weight": weight,
            })
        });
        let matches = std::iter::once(&model.name).chain(model.routed_names()).map(|name| {
            json!({
                "path": {"type": "PathPrefix", "value": "/"},
                "headers": [{"type": "Exact", "name": MODEL_HEADER, "value": name}],
            })
        });
        let (name, of) = deployment.route(number, model);
        let mut rule = json!({
            "matches": matches.collect::<Vec<_>>(),
            "backendRefs": backends.collect::<Vec<_>>(),
        });
        if let Some(ms) = model.request_timeout_ms {
            rule["timeouts"] = json!({"request": format!("{ms}ms")});
        }
        json!({
            "apiVersion": GATEWAY_API,
            "kind": "HTTPRoute",
            "metadata": metadata(&name, of),
            "spec": {
                "parentRefs": [{
                    "group": "gateway.networking.k8s.io", "kind": "Gateway", "name": GATEWAY, "namespace": namespace,
                }],
                "rules": [rule],
            },
        })
    }));
    objects
}
