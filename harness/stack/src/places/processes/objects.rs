//! The Kubernetes objects of a topology, which endpoint pickers and the body-based router watch.
//!
//! Source: GIE v1.5.0, api/v1, apix/v1alpha2, pkg/bbr. Each pool has its own namespace: an InferenceObjective belongs
//! to one pool, and its name is the one clients send.

use std::net::SocketAddr;

use k8s_openapi::api::core::v1::{Container, Pod, PodCondition, PodIP, PodSpec, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;
use poolproof_fixtures::flaw::Flaw;
use serde_json::{Value, json};

use crate::kubernetes::api::{OBJECTS_VERSION, labels, value};
use crate::parts;
use crate::parts::gie::config::rewrites;
use crate::parts::picker::PickerPart;
use poolproof_model::topology::{Pool, Topology};

/// The maximum number of ports of an InferencePool, and so of endpoints that can share one address.
pub(super) const ENDPOINTS_MAX: usize = 8;

/// The namespace in which the body-based router looks for models.
pub(super) const MODELS_NAMESPACE: &str = "poolproof";

/// The grace period of a pod that ends, in seconds, Kubernetes' default, and the time at which it ends. Watchers look only at its
/// presence.
const GRACE_S: i64 = 30;
const ENDING_SINCE: Timestamp = Timestamp::constant(1_735_689_630, 0);

/// The namespace of a pool's objects.
pub(super) fn namespace(pool: &Pool) -> &str {
    &pool.name
}

/// The InferencePool, its Pods, its InferenceModelRewrites and its InferenceObjectives.
pub(super) fn of_pool(
    topology: &Topology,
    pool: &Pool,
    endpoints: &[(String, SocketAddr)],
    epp_port: u16,
    picker: &dyn PickerPart,
    flaw: Option<Flaw>,
) -> Vec<Value> {
    let namespace = namespace(pool);
    let ports = endpoints.iter().map(|(_, address)| address.port());
    let mut objects = vec![inference_pool(pool, ports, epp_port)];
    objects.extend(
        endpoints
            .iter()
            .map(|(name, address)| pod(pool, name, *address, Standing::Ready)),
    );
    let mut models = topology.models.iter();
    let model = models.find(|model| model.pools.iter().any(|own| own.name == pool.name));
    objects.extend(
        model
            .iter()
            .flat_map(|model| rewrites(model, pool, namespace, picker.group())),
    );
    let objectives = topology.objectives.iter();
    objects.extend(objectives.map(|(name, priority)| {
        let named = (name.as_str(), *priority);
        objective(pool, named, picker.group(), flaw)
    }));
    objects
}

/// The InferencePool, with the ports of these endpoints.
pub(super) fn inference_pool(
    pool: &Pool,
    ports: impl Iterator<Item = u16>,
    epp_port: u16,
) -> Value {
    let ports: Vec<Value> = ports.map(|port| json!({"number": port})).collect();
    json!({
        "apiVersion": "inference.networking.k8s.io/v1",
        "kind": "InferencePool",
        "metadata": {"name": pool.name, "namespace": namespace(pool)},
        "spec": {
            "selector": {"matchLabels": {"app": pool.name}},
            "targetPorts": ports,
            "endpointPickerRef": {
                "name": format!("{}-epp", pool.name), "port": {"number": epp_port}, "failureMode": "FailClose",
            },
        },
    })
}

/// An InferenceObjective of a pool, by name and priority, in this API group.
pub(super) fn objective(
    pool: &Pool,
    (name, priority): (&str, i32),
    group: &str,
    flaw: Option<Flaw>,
) -> Value {
    json!({
        "apiVersion": format!("{group}/{OBJECTS_VERSION}"),
        "kind": "InferenceObjective",
        "metadata": {"name": name, "namespace": namespace(pool)},
        "spec": {
            "priority": parts::priority(priority, flaw),
            "poolRef": {"group": "inference.networking.k8s.io", "kind": "InferencePool", "name": pool.name},
        },
    })
}

/// Membership of a Pod in its pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Ready, and selected by the pool.
    Ready,
    /// Not ready, as after its server has ended.
    NotReady,
    /// Ready, but not selected by the pool.
    NotSelected,
    /// Ready, and about to be deleted.
    Terminating,
}

/// A Pod without a kubelet: its model server is a process on this machine. All Pods share one address, so each names
/// its own port among those of the pool.
pub(super) fn pod(pool: &Pool, name: &str, address: SocketAddr, standing: Standing) -> Value {
    let ip = address.ip().to_string();
    let app = match standing {
        Standing::NotSelected => "none",
        Standing::Ready | Standing::NotReady | Standing::Terminating => &pool.name,
    };
    let ready = match standing {
        Standing::NotReady => "False",
        Standing::Ready | Standing::NotSelected | Standing::Terminating => "True",
    };
    let ending = standing == Standing::Terminating;
    let port = address.port().to_string();
    value(Pod {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(namespace(pool).to_owned()),
            labels: Some(labels(&[
                ("app", app),
                ("inference.networking.k8s.io/engine-type", "vllm"),
            ])),
            annotations: Some(labels(&[(
                "inference.networking.k8s.io/active-ports",
                &port,
            )])),
            deletion_timestamp: ending.then_some(Time(ENDING_SINCE)),
            deletion_grace_period_seconds: ending.then_some(GRACE_S),
            ..ObjectMeta::default()
        },
        spec: Some(PodSpec {
            automount_service_account_token: Some(false),
            containers: vec![Container {
                name: "model-server".to_owned(),
                image: Some("none".to_owned()),
                ..Container::default()
            }],
            ..PodSpec::default()
        }),
        status: Some(PodStatus {
            pod_ips: Some(vec![PodIP { ip: ip.clone() }]),
            pod_ip: Some(ip),
            conditions: Some(vec![PodCondition {
                type_: "Ready".to_owned(),
                status: ready.to_owned(),
                ..PodCondition::default()
            }]),
            ..PodStatus::default()
        }),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use poolproof_model::parts::EndpointPicker;

    #[test]
    fn pods_that_share_an_address_have_a_port_of_the_pool_each() {
        let topology = Topology::default();
        let pool = &topology.models[0].pools[0];
        let endpoints: Vec<_> = pool
            .endpoint_names()
            .zip(8001..)
            .map(|(name, port)| (name, SocketAddr::from(([127, 0, 0, 1], port))))
            .collect();
        let picker = parts::picker(EndpointPicker::Gie);
        let objects = of_pool(&topology, pool, &endpoints, 9002, picker, None);
        let of_kind = |kind: &str| {
            objects
                .iter()
                .filter(|object| object["kind"] == kind)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            of_kind("InferencePool")[0]["spec"]["targetPorts"][2]["number"],
            8003
        );
        let pod = of_kind("Pod")[1];
        assert_eq!(pod["metadata"]["name"], "model-a-1");
        let annotations = &pod["metadata"]["annotations"];
        assert_eq!(
            annotations["inference.networking.k8s.io/active-ports"],
            "8002"
        );
        let terminating = super::pod(pool, "p", endpoints[0].1, Standing::Terminating);
        assert!(terminating["metadata"]["deletionTimestamp"].is_string());
        assert!(pod["metadata"]["deletionTimestamp"].is_null());
        let objectives: Vec<_> = of_kind("InferenceObjective")
            .iter()
            .map(|objective| objective["spec"]["priority"].as_i64().unwrap())
            .collect();
        assert_eq!(objectives, [-10, 10]);
    }
}
