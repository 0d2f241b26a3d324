//! Changes of a topology on a cluster: pods are removed, Deployments scaled, routes given other weights, objectives other priorities.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::cluster::Cluster;
use super::forward::Forward;
use super::manifests::{self, GATEWAY, GATEWAY_API, INFERENCE_POOL, MEMBER_LABEL, OBJECTIVE, Plan};
use super::ready::{State, wait};
use super::{CONDITIONS_TIMEOUT, PODS_TIMEOUT, To, knows_its_endpoints, pods, text};
use crate::change::{Change, Kind};
use crate::stack::parts::{EndpointPicker, Gateway, Parts};
use crate::stack::{envoy, flawed, own_gateway};
use crate::target::Target;
use crate::topology::{Pool, Topology};
use crate::{client, evidence};

/// Makes changes of a topology that we have deployed.
#[derive(Clone)]
pub(in crate::stack) struct Operator {
    cluster: Cluster,
    plan: Arc<Plan>,
    target: Arc<Target>,
    /// The topology as it is now.
    now: Arc<Mutex<Topology>>,
}

/// The changes that can be made of these parts. The reference endpoint picker is told its endpoints and objectives when it starts.
pub(in crate::stack) fn kinds_of_changes(parts: Parts) -> Vec<Kind> {
    let mut kinds = vec![Kind::Picker, Kind::Endpoint, Kind::Weights];
    if parts.epp == EndpointPicker::Gie {
        kinds.extend([Kind::Member, Kind::Objective]);
    }
    if parts.gateway == Gateway::Agentgateway {
        kinds.push(Kind::FailureMode);
    }
    kinds
}

impl Operator {
    pub(in crate::stack) fn new(cluster: Cluster, plan: Plan, target: &Target) -> Self {
        Self {
            cluster,
            now: Arc::new(Mutex::new(plan.topology.clone())),
            plan: Arc::new(plan),
            target: Arc::new(target.clone()),
        }
    }

    /// The changes that can be made.
    pub(in crate::stack) fn kinds(&self) -> Vec<Kind> {
        kinds_of_changes(self.plan.parts)
    }

    /// Makes a change.
    pub(in crate::stack) async fn make(&self, change: Change) -> Result<()> {
        match change {
            Change::Picker { pool, running } => self.picker(self.pool(&pool)?, running).await,
            Change::Endpoint { endpoint, running } => self.endpoint(&endpoint, running).await,
            Change::Weights { model, weights } => self.weights(&model, &weights).await,
            Change::FailureMode { pool, open } => self.fail(self.pool(&pool)?, open).await,
            Change::Member { endpoint, member } => self.member(&endpoint, member).await,
            Change::Objective {
                objective,
                priority,
            } => self.objective(&objective, priority).await,
        }
    }

    /// Scales the Deployment of an endpoint picker.
    async fn picker(&self, pool: &Pool, running: bool) -> Result<()> {
        let (namespace, name) = (self.plan.namespace_of(pool), manifests::epp_name(pool));
        let replicas = json!({"spec": {"replicas": i32::from(running)}});
        let deployment = ("apps/v1", "Deployment");
        self.cluster
            .merge(deployment, &namespace, &name, &replicas)
            .await?;
        if running {
            pods(&self.cluster, "Deployment", &namespace, &name).await?;
            let pools = self.target.pools();
            let metrics = pools
                .filter(|it| it.name == pool.name)
                .find_map(|it| it.epp_metrics.as_ref());
            let metrics = metrics.context("its metrics are nowhere")?;
            return knows_its_endpoints(&client::http(0)?, metrics, pool).await;
        }
        let labels = manifests::epp_labels(&self.plan, pool);
        wait(&format!("end of {name}"), PODS_TIMEOUT, || async {
            let left = self.cluster.list("v1", "Pod", &namespace, &labels).await?;
            Ok(match left.len() {
                0 => State::Ready,
                left => State::NotYet(format!("{left} pods are still there")),
            })
        })
        .await
    }

    /// Kills the pod of an endpoint, in whose place its StatefulSet puts another; or waits until that is there.
    async fn endpoint(&self, name: &str, running: bool) -> Result<()> {
        let pool = self.pool_of(name)?;
        let namespace = self.plan.namespace_of(pool);
        match running {
            true => pods(&self.cluster, "StatefulSet", &namespace, &pool.name).await,
            false => self.cluster.kill_pod(&namespace, name).await,
        }
    }

    /// Labels the pod of an endpoint so that its InferencePool selects it, or does not.
    async fn member(&self, name: &str, member: bool) -> Result<()> {
        let namespace = self.plan.namespace_of(self.pool_of(name)?);
        let labels = json!({"metadata": {"labels": {MEMBER_LABEL: member.to_string()}}});
        self.cluster
            .merge(("v1", "Pod"), &namespace, name, &labels)
            .await
    }

    /// The pool that an endpoint was started in.
    fn pool_of(&self, endpoint: &str) -> Result<&Pool> {
        let mut pools = self.plan.topology.pools();
        let pool = pools.find(|pool| pool.endpoint_names().any(|it| it == endpoint));
        pool.with_context(|| format!("there is no endpoint {endpoint:?}"))
    }

    /// Gives the pools of a model other weights, and waits until the gateway has taken them where it says so.
    async fn weights(&self, model: &str, weights: &BTreeMap<String, u32>) -> Result<()> {
        let mut now = self.now.lock().await;
        now.set_weights(model, weights)?;
        match self.plan.parts.gateway {
            Gateway::Agentgateway => self.weigh_route(&now, model).await,
            Gateway::Envoy => self.replace_routes(&now).await,
            Gateway::Poolproof => {
                let way = self.way_to_gateway(manifests::MANAGEMENT_PORT).await?;
                own_gateway::weigh(&client::http(0)?, way.address, &now).await
            }
        }
    }

    /// Writes the weights of a model's pools into its HTTPRoute.
    async fn weigh_route(&self, now: &Topology, model: &str) -> Result<()> {
        let mut models = now.models.iter().enumerate();
        let found = models.find(|(_, it)| it.name == model);
        let (number, model) = found.with_context(|| format!("there is no model {model:?}"))?;
        let weights = model.weights();
        let namespace = manifests::route_namespace(&self.plan, model);
        let name = manifests::route_name(number);
        let (kind, what) = ((GATEWAY_API, "HTTPRoute"), || {
            format!("HTTPRoute {namespace}/{name}")
        });
        let route = self.cluster.get(kind.0, kind.1, &namespace, &name).await?;
        let mut rules = route.with_context(what)?["spec"]["rules"].take();
        let backends = rules
            .pointer_mut("/0/backendRefs")
            .and_then(Value::as_array_mut);
        for backend in backends.with_context(what)? {
            let pool = backend["name"].as_str().unwrap_or_default();
            let weight = weights
                .get(pool)
                .with_context(|| format!("pool {pool:?} has no weight"))?;
            backend["weight"] = json!(weight);
        }
        let changed = json!({"spec": {"rules": rules}});
        self.cluster.merge(kind, &namespace, &name, &changed).await
    }

    /// Writes the routes of Envoy, and waits until it has read them.
    async fn replace_routes(&self, now: &Topology) -> Result<()> {
        let namespace = &self.plan.namespace;
        let routes = envoy::routes_file(now, self.plan.flaw);
        let version = text(&routes, "/version_info");
        let written = json!({"data": {manifests::ROUTES_FILE: format!("{routes:#}")}});
        self.cluster
            .merge(("v1", "ConfigMap"), namespace, GATEWAY, &written)
            .await?;
        // The kubelet looks at a pod that has changed at once, at any other after a minute.
        let changed = json!({"metadata": {"annotations": {"poolproof.dev/routes": version}}});
        let (labels, _) = manifests::gateway_pod(self.plan.parts.gateway);
        for pod in self.cluster.list("v1", "Pod", namespace, &labels).await? {
            self.cluster
                .merge(
                    ("v1", "Pod"),
                    namespace,
                    text(&pod, "/metadata/name"),
                    &changed,
                )
                .await?;
        }
        let way = self.way_to_gateway(manifests::ADMIN_PORT).await?;
        let of_routes = "config_dump?resource=dynamic_route_configs";
        let dump = format!("http://{}/{of_routes}", way.address).parse()?;
        let http = client::http(0)?;
        wait("Envoy with other routes", CONDITIONS_TIMEOUT, || async {
            Ok(match evidence::get(&http, &dump).await {
                Ok(routes) if routes.contains(version) => State::Ready,
                Ok(_) => State::NotYet("it has those from before".to_owned()),
                Err(error) => State::NotYet(format!("{error:#}")),
            })
        })
        .await
    }

    /// A way to a port of the gateway's pod, for as long as it is kept.
    async fn way_to_gateway(&self, port: u16) -> Result<Forward> {
        let (labels, _) = manifests::gateway_pod(self.plan.parts.gateway);
        let to = To::Labelled(labels);
        Forward::start(&self.cluster.client, &self.plan.namespace, to, port).await
    }

    /// Writes the priority of an objective for each pool that has it.
    async fn objective(&self, name: &str, priority: i32) -> Result<()> {
        ensure!(
            self.plan.topology.objectives.contains_key(name),
            "there is no objective {name:?}"
        );
        let priority = flawed::priority(priority, self.plan.flaw);
        let changed = json!({"spec": {"priority": priority}});
        // All namespaces but the Gateway's are those of pools.
        for namespace in self.plan.namespaces().iter().skip(1) {
            self.cluster
                .merge(OBJECTIVE, namespace, name, &changed)
                .await?;
        }
        Ok(())
    }

    /// Writes into an InferencePool how it fails.
    async fn fail(&self, pool: &Pool, open: bool) -> Result<()> {
        let mode = if open { "FailOpen" } else { "FailClose" };
        let changed = json!({"spec": {"endpointPickerRef": {"failureMode": mode}}});
        let namespace = self.plan.namespace_of(pool);
        self.cluster
            .merge(INFERENCE_POOL, &namespace, &pool.name, &changed)
            .await
    }

    fn pool(&self, name: &str) -> Result<&Pool> {
        let mut pools = self.plan.topology.pools();
        let pool = pools.find(|it| it.name == name);
        pool.with_context(|| format!("there is no pool {name:?}"))
    }
}
