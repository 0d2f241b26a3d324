//! The manifests of an arrangement, in the order in which they are applied.

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};

use super::objects::Names;
use crate::kubernetes::api::{
    GATEWAY_API, INFERENCE_POOL, MANAGED_BY, labels, metadata, service, value,
};
use crate::kubernetes::deployment::STACK_LABEL;
use poolproof_model::status::{Arrangement, Backend, LISTENER, Place, Pool, Route};

const GATEWAY_GROUP: &str = "gateway.networking.k8s.io";
const POOL_GROUP: &str = "inference.networking.k8s.io";
/// The port of endpoint pickers.
const PICKER: (&str, u16) = ("grpc", 9002);

/// The two namespaces.
pub(super) fn namespaces(names: &Names) -> [Value; 2] {
    [Place::Own, Place::Other].map(|place| {
        value(Namespace {
            metadata: ObjectMeta {
                name: Some(names.namespace(place)),
                labels: Some(labels(&[
                    (MANAGED_BY, "poolproof"),
                    (STACK_LABEL, &names.stack),
                ])),
                ..ObjectMeta::default()
            },
            ..Namespace::default()
        })
    })
}

/// All other objects.
pub(super) fn of(names: &Names, wanted: &Arrangement) -> Vec<Value> {
    let own = names.namespace(Place::Own);
    let mut objects = Vec::new();
    if wanted.grant {
        objects.push(json!({
            "apiVersion": format!("{GATEWAY_GROUP}/v1beta1"),
            "kind": "ReferenceGrant",
            "metadata": metadata("routes", &names.namespace(Place::Other)),
            "spec": {
                "from": [{"group": GATEWAY_GROUP, "kind": "HTTPRoute", "namespace": own}],
                "to": [{"group": POOL_GROUP, "kind": INFERENCE_POOL.1}],
            },
        }));
    }
    for known in &wanted.pools {
        if known.picker {
            let namespace = names.namespace(known.place);
            objects.push(value(service(&picker(known), &namespace, PICKER)));
        }
        objects.push(pool(names, known));
    }
    for gateway in &wanted.gateways {
        objects.push(json!({
            "apiVersion": GATEWAY_API,
            "kind": "Gateway",
            "metadata": metadata(&gateway.name, &own),
            "spec": {
                "gatewayClassName": names.class,
                "listeners": [{"name": LISTENER, "port": gateway.port, "protocol": "HTTP"}],
            },
        }));
    }
    objects.extend(wanted.routes.iter().map(|known| route(names, known)));
    objects
}

/// The name of the Service of a pool's endpoint picker.
fn picker(pool: &Pool) -> String {
    format!("{}-picker", pool.name)
}

fn pool(names: &Names, pool: &Pool) -> Value {
    json!({
        "apiVersion": INFERENCE_POOL.0,
        "kind": INFERENCE_POOL.1,
        "metadata": metadata(&pool.name, &names.namespace(pool.place)),
        "spec": {
            "selector": {"matchLabels": {"app": pool.name}},
            "targetPorts": [{"number": pool.port}],
            "endpointPickerRef": {"name": picker(pool), "kind": "Service", "port": {"number": PICKER.1}},
        },
    })
}

fn route(names: &Names, route: &Route) -> Value {
    let mut parent = json!({"group": GATEWAY_GROUP, "kind": "Gateway", "name": route.gateway});
    if let Some(listener) = &route.listener {
        parent["sectionName"] = json!(listener);
    }
    json!({
        "apiVersion": GATEWAY_API,
        "kind": "HTTPRoute",
        "metadata": metadata(&route.name, &names.namespace(Place::Own)),
        "spec": {
            "parentRefs": [parent],
            "rules": [{
                "matches": [{"path": {"type": "PathPrefix", "value": route.path}}],
                "backendRefs": [backend(names, &route.backend)],
            }],
        },
    })
}

fn backend(names: &Names, backend: &Backend) -> Value {
    let kind = if backend.unknown_kind {
        "UnknownPool"
    } else {
        INFERENCE_POOL.1
    };
    let mut reference = json!({"group": POOL_GROUP, "kind": kind, "name": backend.name});
    if backend.place != Place::Own {
        reference["namespace"] = json!(names.namespace(backend.place));
    }
    if let Some(port) = backend.port {
        reference["port"] = json!(port);
    }
    reference
}
