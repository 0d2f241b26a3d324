//! agentgateway: the Gateway, the policy that lifts the model name, a route for each model.
//!
//! Source: agentgateway v1.2.1, api/v1alpha1; Gateway API v1.5.1.

use serde_json::{Value, json};

use super::{GATEWAY, GATEWAY_API, MANAGED_BY, Plan, STACK_LABEL, gateway_ports, metadata};
use crate::stack::flawed::weights;
use crate::topology::Model;

/// The namespace and the name of its controller, as its own documentation has them.
pub(in super::super) const CONTROLLER_NAMESPACE: &str = "agentgateway-system";
/// The Deployment of its controller, and its GatewayClass.
pub(in super::super) const CONTROLLER: &str = "agentgateway";

const MODEL_HEADER: &str = "X-Gateway-Base-Model-Name";

/// The namespace of a controller that poolproof installs.
pub(in super::super) fn controller_namespace() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": CONTROLLER_NAMESPACE, "labels": {MANAGED_BY: "poolproof"}},
    })
}

/// Values of the controller's chart.
pub(in super::super) fn controller_values() -> Value {
    json!({"inferenceExtension": {"enabled": true}})
}

pub(super) fn objects(plan: &Plan) -> Vec<Value> {
    let namespace = &plan.namespace;
    let mut objects = vec![
        json!({
            "apiVersion": "agentgateway.dev/v1alpha1",
            "kind": "AgentgatewayParameters",
            "metadata": metadata(GATEWAY, namespace),
            "spec": {"service": {"spec": gateway_ports(plan, 80)}},
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
    objects.extend(plan.topology.models.iter().enumerate().map(|(number, model)| {
        let pools = model.pools.iter().zip(weights(model, plan.flaw));
        let backends = pools.map(|(pool, weight)| {
            json!({
                "group": "inference.networking.k8s.io",
                "kind": "InferencePool",
                "name": pool.name,
                "weight": weight,
            })
        });
        let matches = std::iter::once(&model.name).chain(&model.adapters).map(|name| {
            json!({
                "path": {"type": "PathPrefix", "value": "/"},
                "headers": [{"type": "Exact", "name": MODEL_HEADER, "value": name}],
            })
        });
        json!({
            "apiVersion": GATEWAY_API,
            "kind": "HTTPRoute",
            "metadata": metadata(&route_name(number), &route_namespace(plan, model)),
            "spec": {
                "parentRefs": [{
                    "group": "gateway.networking.k8s.io", "kind": "Gateway", "name": GATEWAY, "namespace": namespace,
                }],
                "rules": [{
                    "matches": matches.collect::<Vec<_>>(),
                    "backendRefs": backends.collect::<Vec<_>>(),
                }],
            },
        })
    }));
    objects
}

/// The namespace of a model's route, that of its pools.
pub(in super::super) fn route_namespace(plan: &Plan, model: &Model) -> String {
    let pool = model.pools.first();
    pool.map_or_else(|| plan.namespace.clone(), |pool| plan.namespace_of(pool))
}

/// The name of a model's route: model names may hold characters that names of objects may not.
pub(in super::super) fn route_name(number: usize) -> String {
    format!("model-{number}")
}
