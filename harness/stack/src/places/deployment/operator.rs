//! Changes of a topology on a cluster: deleted pods, scaled Deployments, new weights of routes, new priorities of
//! objectives.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use serde_json::json;
use tokio::sync::Mutex;

use super::ready::knows_its_endpoints;
use crate::kubernetes::api::{INFERENCE_POOL, OBJECTIVE};
use crate::kubernetes::deployment::MEMBER_LABEL;
use crate::kubernetes::ready::{PODS_TIMEOUT, State, pods, wait};
use crate::kubernetes::{Cluster, Deployment};
use crate::{parts, place};
use poolproof_client as client;
use poolproof_model::change::{Change, Kind};
use poolproof_model::parts::{Parts, StackKind};
use poolproof_model::target::Target;
use poolproof_model::topology::{Pool, Topology};

/// Makes changes of a topology that we have deployed.
pub(crate) struct Operator {
    cluster: Cluster,
    deployment: Deployment,
    target: Target,
    /// The current topology.
    now: Mutex<Topology>,
}

/// The changes that these parts support in a cluster.
pub(crate) fn kinds_of_changes(kind: StackKind, parts: Parts) -> Vec<Kind> {
    let mut kinds = vec![Kind::Picker, Kind::Endpoint, Kind::Weights];
    let follows = parts::picker(parts.epp).follows().iter();
    // A kubelet sets the other conditions of its pods.
    kinds.extend(follows.filter(|kind| matches!(kind, Kind::Member | Kind::Objective)));
    if parts::gateway(parts.gateway).changes_failure_mode(kind) {
        kinds.push(Kind::FailureMode);
    }
    kinds
}

impl place::Operator for Operator {
    fn kinds(&self) -> BoxFuture<'_, Vec<Kind>> {
        // Stacks `kind` and `cluster` support the same changes.
        ready(kinds_of_changes(StackKind::Cluster, self.deployment.parts)).boxed()
    }

    fn make(&self, change: Change) -> BoxFuture<'_, Result<()>> {
        self.change(change).boxed()
    }
}

impl Operator {
    pub(crate) fn new(cluster: Cluster, deployment: Deployment, target: &Target) -> Arc<Self> {
        Arc::new(Self {
            cluster,
            now: Mutex::new(deployment.topology.clone()),
            deployment,
            target: target.clone(),
        })
    }

    async fn change(&self, change: Change) -> Result<()> {
        match change {
            Change::Picker { pool, running } => {
                self.picker(self.deployment.pool(&pool)?, running).await
            }
            Change::Endpoint { endpoint, running } => self.endpoint(&endpoint, running).await,
            Change::Weights { model, weights } => self.weights(&model, &weights).await,
            Change::FailureMode { pool, open } => {
                self.fail(self.deployment.pool(&pool)?, open).await
            }
            Change::Member { endpoint, member } => self.member(&endpoint, member).await,
            Change::Objective {
                objective,
                priority,
            } => self.objective(&objective, priority).await,
            Change::Terminate { .. }
            | Change::Ready { .. }
            | Change::Moved { .. }
            | Change::Ports { .. } => {
                bail!("{change}: not offered by a cluster")
            }
        }
    }

    /// Scales the Deployment of an endpoint picker.
    async fn picker(&self, pool: &Pool, running: bool) -> Result<()> {
        let names = self.deployment.names(pool);
        let (namespace, name) = (&names.namespace, &names.picker);
        let replicas = json!({"spec": {"replicas": i32::from(running)}});
        let deployment = ("apps/v1", "Deployment");
        self.cluster
            .merge(deployment, namespace, name, &replicas)
            .await?;
        if running {
            pods(&self.cluster, "Deployment", namespace, name).await?;
            let pools = self.target.pools();
            let metrics = pools
                .filter(|known| known.name == pool.name)
                .find_map(|known| known.epp_metrics.as_ref());
            let metrics = metrics.context("its metrics are nowhere")?;
            return knows_its_endpoints(&client::http(0)?, metrics, pool).await;
        }
        let labels = &names.picker_labels;
        let ended = || {
            async {
                let left = self.cluster.list("v1", "Pod", namespace, labels).await?;
                Ok(match left.len() {
                    0 => State::Ready,
                    left => State::NotYet(format!("{left} pods are still there")),
                })
            }
            .boxed()
        };
        wait(&format!("end of {name}"), PODS_TIMEOUT, &ended).await
    }

    /// Kills the pod of an endpoint, which its StatefulSet replaces; or waits for the replacement.
    async fn endpoint(&self, name: &str, running: bool) -> Result<()> {
        let pool = self.deployment.pool_of(name)?;
        let namespace = &self.deployment.names(pool).namespace;
        if running {
            pods(&self.cluster, "StatefulSet", namespace, &pool.name).await
        } else {
            self.cluster.kill_pod(namespace, name).await
        }
    }

    /// Sets the label by which the InferencePool selects the pod of an endpoint, or not.
    async fn member(&self, name: &str, member: bool) -> Result<()> {
        let pool = self.deployment.pool_of(name)?;
        let namespace = &self.deployment.names(pool).namespace;
        let labels = json!({"metadata": {"labels": {MEMBER_LABEL: member.to_string()}}});
        self.cluster
            .merge(("v1", "Pod"), namespace, name, &labels)
            .await
    }

    /// Sets the weights of a model's pools, and waits for the gateway to apply them if it reports that.
    async fn weights(&self, model: &str, weights: &BTreeMap<String, u32>) -> Result<()> {
        let mut now = self.now.lock().await;
        now.set_weights(model, weights)?;
        let gateway = parts::gateway(self.deployment.parts.gateway);
        gateway
            .weigh(&self.cluster, &self.deployment, &now, model)
            .await
    }

    /// Sets the priority of an objective in each pool that has it.
    async fn objective(&self, name: &str, priority: i32) -> Result<()> {
        ensure!(
            self.deployment.topology.objectives.contains_key(name),
            "there is no objective {name:?}"
        );
        let priority = parts::priority(priority, self.deployment.flaw);
        let changed = json!({"spec": {"priority": priority}});
        // All namespaces except the Gateway's belong to pools.
        for namespace in self.deployment.namespaces().iter().skip(1) {
            self.cluster
                .merge(OBJECTIVE, namespace, name, &changed)
                .await?;
        }
        Ok(())
    }

    /// Sets the failure mode of an InferencePool.
    async fn fail(&self, pool: &Pool, open: bool) -> Result<()> {
        let mode = if open { "FailOpen" } else { "FailClose" };
        let changed = json!({"spec": {"endpointPickerRef": {"failureMode": mode}}});
        let namespace = &self.deployment.names(pool).namespace;
        self.cluster
            .merge(INFERENCE_POOL, namespace, &pool.name, &changed)
            .await
    }
}
