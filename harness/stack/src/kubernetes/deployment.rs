//! The deployment of a topology to a cluster: all names, namespaces, ports and labels, computed once.
//!
//! The Gateway has its own namespace, and so has each pool: an InferenceObjective belongs to one pool, and its name is
//! the one clients send (GIE v1.5.0, apix/v1alpha2, `InferenceObjectiveSpec.poolRef`). agentgateway is the exception:
//! v1.2.1 does not let a route refer to an InferencePool in another namespace. It applies a ReferenceGrant only to
//! Secrets and Services. There the pools of a model share one namespace with its route, and only the first of them has
//! objectives.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{Container, PodSpec, Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use poolproof_fixtures::flaw::{Component, Flaw};
use serde_json::Value;

use super::api::{container_port, deployment, is_label, labels, listens, metadata, value};
use super::cluster::Cluster;
use super::forward::Forward;
use super::pods::Pods;
use super::to::To;
use crate::versions::Versions;
use poolproof_model::parts::Parts;
use poolproof_model::topology::{Model, Pool, Topology};

/// The name of the Gateway, and of its Service and Deployment.
pub(crate) const GATEWAY: &str = "inference-gateway";
/// The port of a kind cluster's nodes at which its gateway is reached.
pub(crate) const GATEWAY_NODE_PORT: u16 = 30080;
/// The port of a gateway without a controller, in its pod.
pub(crate) const POD_PORT: u16 = 8080;
/// The label of every namespace of a stack; its value is the stack's name.
pub(crate) const STACK_LABEL: &str = "poolproof.dev/stack";
/// The port of every model server.
pub(crate) const MODEL_SERVER_PORT: u16 = 8000;
/// The port of an endpoint picker's ext_proc service.
pub(crate) const EPP_PORT: u16 = 9002;
/// The port of an endpoint picker's metrics.
pub(crate) const EPP_METRICS_PORT: u16 = 9090;
/// The label whose value puts an endpoint into its pool or takes it out. Only the InferencePool selects by it.
pub(crate) const MEMBER_LABEL: &str = "poolproof.dev/member";

/// A deployment, and the names of everything in it.
#[derive(Clone, Debug)]
pub(crate) struct Deployment {
    /// The models, pools and objectives.
    pub(crate) topology: Topology,
    /// The implementations.
    pub(crate) parts: Parts,
    /// The image with the poolproof program.
    pub(crate) own_image: String,
    /// The flaw to enable.
    pub(crate) flaw: Option<Flaw>,
    /// Seed of random choices in stand-ins.
    pub(crate) seed: u64,
    /// Image names.
    pub(crate) versions: Versions,
    /// The namespace of the Gateway; a prefix of the pools' namespaces.
    pub(crate) namespace: String,
    /// The port of the nodes at which the gateway is reached; `None`: only inside the cluster.
    pub(crate) gateway_node_port: Option<u16>,
    /// The labels of the gateway's pod, `KEY=VALUE,...`, and its port for clients.
    pub(crate) gateway_pod: (String, u16),
    /// Whether endpoint pickers speak TLS.
    pub(crate) picker_tls: bool,
    /// The object names of each pool, by pool name.
    pools: BTreeMap<String, PoolNames>,
}

/// The object names of a pool.
#[derive(Clone, Debug)]
pub(crate) struct PoolNames {
    /// Their namespace.
    pub(crate) namespace: String,
    /// Whether the objectives of that namespace belong to this pool.
    pub(crate) has_objectives: bool,
    /// The Deployment and the Service of its endpoint picker.
    pub(crate) picker: String,
    /// The labels of the endpoint picker's pod, `KEY=VALUE,...`.
    pub(crate) picker_labels: String,
    /// The address of the endpoint picker for the gateway.
    pub(crate) picker_host: String,
    /// The labels of the pods that are its endpoints.
    pub(crate) endpoint_labels: BTreeMap<String, String>,
}

/// The request for a deployment, and the constraints of its parts on names.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) topology: Topology,
    pub(crate) parts: Parts,
    pub(crate) own_image: String,
    pub(crate) versions: Versions,
    pub(crate) flaw: Option<Flaw>,
    pub(crate) seed: u64,
    pub(crate) namespace: String,
    pub(crate) gateway_node_port: Option<u16>,
    pub(crate) gateway_pod: (String, u16),
    /// Whether the pools of a model must share a namespace.
    pub(crate) models_share_namespaces: bool,
    pub(crate) picker_tls: bool,
}

impl Deployment {
    /// Computes all names. `picker_labels` maps the name of an endpoint picker to the labels of its pod.
    pub(crate) fn new(asked: Asked, picker_labels: impl Fn(&str) -> String) -> Self {
        let mut pools = BTreeMap::new();
        for model in &asked.topology.models {
            for pool in &model.pools {
                let host = match model.pools.first() {
                    Some(first) if asked.models_share_namespaces => &first.name,
                    _ => &pool.name,
                };
                let namespace = format!("{}-{host}", asked.namespace);
                // The name that GIE's chart uses.
                let picker = format!("{}-epp", pool.name);
                let names = PoolNames {
                    has_objectives: *host == pool.name,
                    picker_labels: picker_labels(&picker),
                    picker_host: format!("{picker}.{namespace}.svc"),
                    endpoint_labels: labels(&[("app", &pool.name), (MEMBER_LABEL, "true")]),
                    picker,
                    namespace,
                };
                pools.insert(pool.name.clone(), names);
            }
        }
        Self {
            topology: asked.topology,
            parts: asked.parts,
            own_image: asked.own_image,
            flaw: asked.flaw,
            seed: asked.seed,
            versions: asked.versions,
            namespace: asked.namespace,
            gateway_node_port: asked.gateway_node_port,
            gateway_pod: asked.gateway_pod,
            picker_tls: asked.picker_tls,
            pools,
        }
    }

    /// Fails if names of the topology are invalid as object names.
    pub(crate) fn check(&self) -> Result<()> {
        for pool in self.topology.pools() {
            ensure!(
                is_label(&pool.name) && pool.name.len() <= 40,
                "pool {:?}: `name` must be at most 40 lowercase letters, digits and dashes: it becomes the name of Kubernetes objects",
                pool.name
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

    /// The object names of a pool of this topology.
    pub(crate) fn names(&self, pool: &Pool) -> &PoolNames {
        &self.pools[&pool.name]
    }

    /// The pool of this name.
    pub(crate) fn pool(&self, name: &str) -> Result<&Pool> {
        let mut pools = self.topology.pools();
        let pool = pools.find(|pool| pool.name == name);
        pool.with_context(|| format!("there is no pool {name:?}"))
    }

    /// The pool that an endpoint was started in.
    pub(crate) fn pool_of(&self, endpoint: &str) -> Result<&Pool> {
        let mut pools = self.topology.pools();
        let pool = pools.find(|pool| pool.endpoint_names().any(|name| name == endpoint));
        pool.with_context(|| format!("there is no endpoint {endpoint:?}"))
    }

    /// The name and the namespace of a model's route, which is in the namespace of its pools. A model name may contain
    /// characters that are invalid in object names.
    pub(crate) fn route(&self, number: usize, model: &Model) -> (String, &str) {
        let pool = model.pools.first();
        let namespace = pool.map_or(&self.namespace, |pool| &self.names(pool).namespace);
        (format!("model-{number}"), namespace)
    }

    /// All namespaces, the Gateway's first.
    pub(crate) fn namespaces(&self) -> Vec<&str> {
        let mut namespaces = vec![self.namespace.as_str()];
        let pools = self.topology.pools();
        namespaces.extend(pools.map(|pool| self.names(pool).namespace.as_str()));
        namespaces.dedup();
        namespaces
    }

    /// What our own pods beside the gateway need.
    pub(crate) fn own_pods(&self, cluster: &Cluster) -> Pods {
        let gateway = format!("http://{GATEWAY}.{}.svc/", self.namespace);
        Pods {
            cluster: cluster.clone(),
            namespace: self.namespace.clone(),
            image: self.own_image.clone(),
            gateway: gateway.parse().ok(),
        }
    }

    /// A forward to a port of the gateway's pod. It closes when dropped.
    pub(crate) async fn forward_to_gateway(&self, cluster: &Cluster, port: u16) -> Result<Forward> {
        let to = To::Labelled(self.gateway_pod.0.clone());
        Forward::start(cluster, &self.namespace, to, port).await
    }

    /// A Deployment of one of poolproof's own parts, ready when the first of its ports listens.
    pub(crate) fn own_part(
        &self,
        (name, namespace): (&str, &str),
        component: Component,
        mut args: Vec<String>,
        ports: &[u16],
    ) -> Value {
        if let Some(flaw) = self.flaw.filter(|flaw| flaw.component() == component) {
            args.extend(["--flaw".to_owned(), flaw.name().to_owned()]);
        }
        let container = Container {
            name: component.to_string(),
            image: Some(self.own_image.clone()),
            image_pull_policy: Some("IfNotPresent".to_owned()),
            args: Some(args),
            ports: Some(ports.iter().map(|port| container_port(*port)).collect()),
            readiness_probe: ports.first().map(|port| listens(*port)),
            ..Container::default()
        };
        let pod = PodSpec {
            containers: vec![container],
            ..PodSpec::default()
        };
        value(deployment(name, namespace, pod))
    }

    /// The Service of a gateway without a controller.
    pub(crate) fn gateway_service(&self) -> Value {
        value(Service {
            metadata: metadata(GATEWAY, &self.namespace),
            spec: Some(ServiceSpec {
                selector: Some(labels(&[("app", GATEWAY)])),
                ..self.gateway_ports(POD_PORT)
            }),
            ..Service::default()
        })
    }

    /// The type and the port of the gateway's Service, which leads to a port of its pod.
    pub(crate) fn gateway_ports(&self, pod_port: u16) -> ServiceSpec {
        let kind = match self.gateway_node_port {
            Some(_) => "NodePort",
            None => "ClusterIP",
        };
        ServiceSpec {
            type_: Some(kind.to_owned()),
            ports: Some(vec![ServicePort {
                name: Some("http".to_owned()),
                port: 80,
                target_port: Some(IntOrString::Int(i32::from(pod_port))),
                node_port: self.gateway_node_port.map(i32::from),
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }
    }
}
