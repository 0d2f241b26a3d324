//! The Kubernetes objects that a topology means, in the order in which they are applied.
//!
//! The Gateway lives in a namespace of its own. Each pool has one beside it, since an InferenceObjective belongs to one pool and has the
//! name that clients send (GIE v1.5.0, apix/v1alpha2, `InferenceObjectiveSpec.poolRef`). Not with agentgateway: v1.2.1 lets no route
//! refer to an InferencePool in another namespace, whatever a ReferenceGrant says (it knows Secrets and Services there), so the
//! pools of a model share one with its route, and only the first of them has objectives.

mod agentgateway;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod committed;
mod envoy;
mod model_servers;
mod pools;
mod reference;

use anyhow::{Result, ensure};
use poolproof_fixtures::flaw::{Component, Flaw};
use serde_json::{Value, json};

use crate::stack::parts::{Gateway, ModelServer, Parts};
use crate::stack::{self, gie};
use crate::topology::{Pool, Topology};
use crate::versions::Versions;

pub(super) use agentgateway::{
    CONTROLLER, CONTROLLER_NAMESPACE, controller_namespace, controller_values, route_name,
    route_namespace,
};
pub(super) use envoy::{ADMIN_PORT, ROUTES_FILE};
pub(super) use model_servers::PORT as MODEL_SERVER_PORT;
pub(in crate::stack) use pools::{EPP_METRICS_PORT, INFERENCE_POOL, MEMBER_LABEL, OBJECTIVE};
pub(super) use pools::{epp_labels, epp_name, epp_values};
pub(super) use reference::MANAGEMENT_PORT;

/// The Gateway API.
pub(in crate::stack) const GATEWAY_API: &str = "gateway.networking.k8s.io/v1";
/// The name of the Gateway, and of the Service and Deployment in which it runs.
pub(super) const GATEWAY: &str = "inference-gateway";
/// The port of each node of a kind cluster at which its gateway is reached.
pub(in crate::stack) const GATEWAY_NODE_PORT: u16 = 30080;
/// The port of a gateway that has no controller, in its pod.
const POD_PORT: u16 = 8080;
/// The label of every namespace of a stack; its value names the stack.
pub(super) const STACK_LABEL: &str = "poolproof.dev/stack";
/// The annotation of the Gateway's namespace with the mark of what was deployed.
pub(super) const MARK: &str = "poolproof.dev/mark";
/// The most matches of a rule (Gateway API v1.5.1, HTTPRouteRule).
const MATCHES_MAX: usize = 64;
/// The label of what poolproof has made.
pub(super) const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

/// What the objects are made from.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The models, pools and objectives.
    pub topology: Topology,
    /// Which implementations.
    pub parts: Parts,
    /// The namespace of the Gateway; those of pools begin with it.
    pub namespace: String,
    /// The port of each node at which the gateway is to be reached; `None`: only inside the cluster.
    pub gateway_node_port: Option<u16>,
    /// The image with the poolproof program.
    pub own_image: String,
    /// The defect to put in.
    pub flaw: Option<Flaw>,
    /// Seed of random choices in stand-ins.
    pub seed: u64,
    /// Names of images.
    pub versions: Versions,
}

/// The objects, by what has to be there before what.
#[derive(Clone, Debug, Default)]
pub struct Manifests {
    /// Namespaces.
    pub namespaces: Vec<Value>,
    /// Model servers, and the objectives of their pools.
    pub pools: Vec<Value>,
    /// The gateway and its routes.
    pub gateway: Vec<Value>,
}

impl Plan {
    /// The plan of what was asked for.
    pub(in crate::stack) fn new(
        options: &stack::Options,
        namespace: &str,
        own_image: String,
    ) -> Result<Self> {
        Ok(Self {
            topology: options.topology.clone(),
            parts: options.parts,
            namespace: namespace.to_owned(),
            gateway_node_port: (options.kind == stack::StackKind::Kind)
                .then_some(GATEWAY_NODE_PORT),
            own_image,
            flaw: options.flaw,
            seed: options.seed,
            versions: Versions::load()?,
        })
    }

    /// Fails if names of the topology cannot be names of objects.
    pub fn check(&self) -> Result<()> {
        for pool in self.topology.pools() {
            ensure!(
                is_label(&pool.name) && pool.name.len() <= 40,
                "pool {:?}: `name` must be at most 40 lowercase letters, digits and dashes: it becomes the name of Kubernetes objects",
                pool.name
            );
        }
        for model in &self.topology.models {
            let (name, adapters) = (&model.name, model.adapters.len());
            ensure!(
                adapters == 0 || self.parts.model_server != ModelServer::Vllm,
                "model {name:?}: `adapters`: there are no weights of them for --model-server vllm"
            );
            ensure!(
                adapters < MATCHES_MAX || self.parts.gateway != Gateway::Agentgateway,
                "model {name:?}: `adapters` has {adapters} names: with --gateway agentgateway it must be fewer than {MATCHES_MAX}, the matches that an HTTPRoute may have"
            );
        }
        for name in self.topology.objectives.keys() {
            ensure!(
                is_label(name),
                "objective {name:?}: its name must consist of lowercase letters, digits and dashes: it becomes the name of an InferenceObjective"
            );
        }
        ensure!(
            is_label(&self.namespace),
            "--namespace {:?}: must consist of lowercase letters, digits and dashes",
            self.namespace
        );
        Ok(())
    }

    /// The namespace of a pool.
    pub fn namespace_of(&self, pool: &Pool) -> String {
        format!("{}-{}", self.namespace, self.host(pool).name)
    }

    /// The pool in whose namespace a pool lives, and whose objectives are found there.
    fn host<'a>(&'a self, pool: &'a Pool) -> &'a Pool {
        if self.parts.gateway != Gateway::Agentgateway {
            return pool;
        }
        let models = &self.topology.models;
        let model = models
            .iter()
            .find(|model| model.pools.iter().any(|it| it.name == pool.name));
        model.and_then(|model| model.pools.first()).unwrap_or(pool)
    }

    /// All namespaces, that of the Gateway first.
    pub fn namespaces(&self) -> Vec<String> {
        let mut namespaces = vec![self.namespace.clone()];
        namespaces.extend(self.topology.pools().map(|pool| self.namespace_of(pool)));
        namespaces.dedup();
        namespaces
    }

    /// All objects but those that charts make.
    pub fn manifests(&self) -> Result<Manifests> {
        let namespaces = self.namespaces();
        let namespaces = namespaces.iter().map(|name| {
            json!({
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {
                    "name": name,
                    "labels": {MANAGED_BY: "poolproof", STACK_LABEL: self.namespace},
                },
            })
        });
        let mut pools = Vec::new();
        for model in &self.topology.models {
            for pool in &model.pools {
                pools.extend(model_servers::of_pool(self, model, pool)?);
                pools.extend(pools::of_pool(self, pool));
            }
        }
        Ok(Manifests {
            namespaces: namespaces.collect(),
            pools,
            gateway: match self.parts.gateway {
                Gateway::Agentgateway => agentgateway::objects(self),
                Gateway::Envoy => envoy::objects(self)?,
                Gateway::Poolproof => reference::objects(self),
            },
        })
    }
}

impl Manifests {
    /// A mark of all objects, and of those that charts make: of another topology, other parts or another flaw it is another.
    pub(super) fn mark(&self, plan: &Plan) -> String {
        let pools = plan.topology.pools();
        let values: Vec<Value> = pools.map(|pool| epp_values(plan, pool)).collect();
        format!("{:016x}", gie::fnv(&format!("{self:?} {values:?}")))
    }
}

/// An object's metadata, with the label of what poolproof has made.
pub(super) fn metadata(name: &str, namespace: &str) -> Value {
    json!({"name": name, "namespace": namespace, "labels": {MANAGED_BY: "poolproof"}})
}

/// A pod with a part of poolproof's own, which is ready when the first of its ports listens.
fn own_pod(
    plan: &Plan,
    (name, component): (&str, Component),
    mut args: Vec<String>,
    ports: &[u16],
) -> Value {
    if let Some(flaw) = plan.flaw.filter(|flaw| flaw.component() == component) {
        args.extend(["--flaw".to_owned(), flaw.name().to_owned()]);
    }
    let opened = ports.iter().map(|port| json!({"containerPort": port}));
    json!({"containers": [{
        "name": name,
        "image": plan.own_image,
        "imagePullPolicy": "IfNotPresent",
        "args": args,
        "ports": opened.collect::<Vec<_>>(),
        "readinessProbe": {"tcpSocket": {"port": ports.first()}, "periodSeconds": 1},
    }]})
}

/// A Deployment of one pod, and nothing about where it runs or how much it may use.
fn deployment(name: &str, namespace: &str, pod: Value) -> Value {
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

/// The label by which what was made for a Gateway, its pods and its Service, names it (Gateway API, GEP-1762).
pub(in crate::stack) fn of_gateway(name: &str) -> String {
    format!("gateway.networking.k8s.io/gateway-name={name}")
}

/// The labels of the gateway's pod, and its port for clients.
pub(super) fn gateway_pod(gateway: Gateway) -> (String, u16) {
    match gateway {
        Gateway::Agentgateway => (of_gateway(GATEWAY), 80),
        Gateway::Envoy | Gateway::Poolproof => (format!("app={GATEWAY}"), POD_PORT),
    }
}

/// The Service by which the gateway is reached.
fn gateway_service(plan: &Plan) -> Value {
    let mut spec = gateway_ports(plan, POD_PORT);
    spec["selector"] = json!({"app": GATEWAY});
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(GATEWAY, &plan.namespace),
        "spec": spec,
    })
}

/// The type and the port of the gateway's Service, which leads to a port of its pod.
fn gateway_ports(plan: &Plan, pod_port: u16) -> Value {
    let mut port = json!({"name": "http", "port": 80, "targetPort": pod_port});
    let kind = match plan.gateway_node_port {
        Some(node_port) => {
            port["nodePort"] = node_port.into();
            "NodePort"
        }
        None => "ClusterIP",
    };
    json!({"type": kind, "ports": [port]})
}

/// Whether it is a label of RFC 1123, as names of namespaces and Services must be.
fn is_label(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (1..=63).contains(&name.len())
        && name.bytes().all(|byte| inner(byte) || byte == b'-')
        && name.bytes().next().is_some_and(inner)
        && name.bytes().last().is_some_and(inner)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::stack::StackKind;
    use crate::stack::parts::Asked;

    #[test]
    fn a_flaw_that_only_a_chart_has_makes_another_mark() {
        let mark = |flaw| {
            let plan = Plan {
                topology: Topology::default(),
                parts: Parts::of(StackKind::Kind, &Asked::default()).unwrap(),
                namespace: "poolproof".to_owned(),
                gateway_node_port: None,
                own_image: String::new(),
                flaw,
                seed: 1,
                versions: Versions::load().unwrap(),
            };
            plan.manifests().unwrap().mark(&plan)
        };
        assert_eq!(mark(None), mark(None));
        assert_ne!(mark(None), mark(Some(Flaw::Random)));
    }
}
