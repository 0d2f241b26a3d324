//! The Kubernetes objects of a deployment, in the order of application.

use anyhow::Result;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};

use super::model_servers;
use crate::hash::fnv;
use crate::kubernetes::Deployment;
use crate::kubernetes::api::{MANAGED_BY, OBJECTIVE, labels, metadata, value};
use crate::kubernetes::deployment::STACK_LABEL;
use crate::parts;
use crate::parts::gie::config::rewrites;
use poolproof_model::topology::Pool;

/// The annotation of the Gateway's namespace with the hash of the deployment.
pub(super) const MARK: &str = "poolproof.dev/mark";

/// The objects, in the order of their dependencies.
#[derive(Clone, Debug, Default)]
pub(super) struct Objects {
    /// Namespaces.
    pub(super) namespaces: Vec<Value>,
    /// Model servers, and the objectives of their pools.
    pub(super) pools: Vec<Value>,
    /// The gateway and its routes.
    pub(super) gateway: Vec<Value>,
}

/// All objects except those that charts create.
pub(super) fn of(deployment: &Deployment) -> Result<Objects> {
    let namespaces = deployment.namespaces();
    let namespaces = namespaces.iter().map(|name| Namespace {
        metadata: ObjectMeta {
            name: Some((*name).to_owned()),
            labels: Some(labels(&[
                (MANAGED_BY, "poolproof"),
                (STACK_LABEL, &deployment.namespace),
            ])),
            ..ObjectMeta::default()
        },
        ..Namespace::default()
    });
    let picker = parts::picker(deployment.parts.epp);
    let mut pools = Vec::new();
    for model in &deployment.topology.models {
        for pool in &model.pools {
            pools.extend(model_servers::of_pool(deployment, model, pool)?);
            pools.extend(objectives(deployment, pool));
            let names = deployment.names(pool);
            if names.has_objectives {
                pools.extend(rewrites(model, pool, &names.namespace, picker.group()));
            }
            pools.extend(picker.objects(deployment, pool));
        }
    }
    Ok(Objects {
        namespaces: namespaces.map(value).collect(),
        pools,
        gateway: parts::gateway(deployment.parts.gateway).objects(deployment)?,
    })
}

impl Objects {
    /// A hash of all objects, including those that charts create. It differs for another topology, other parts or
    /// another flaw.
    pub(super) fn mark(&self, deployment: &Deployment) -> String {
        let picker = parts::picker(deployment.parts.epp);
        let pools = deployment.topology.pools();
        let charts = pools.filter_map(|pool| picker.chart(deployment, pool));
        let values: Vec<Value> = charts.map(|(_, values)| values).collect();
        format!("{:016x}", fnv(&format!("{self:?} {values:?}")))
    }
}

/// The InferenceObjectives of a pool.
fn objectives(deployment: &Deployment, pool: &Pool) -> Vec<Value> {
    let names = deployment.names(pool);
    let objectives = deployment.topology.objectives.iter();
    let objectives = objectives.filter(|_| names.has_objectives);
    let objectives = objectives.map(|(name, priority)| {
        json!({
            "apiVersion": OBJECTIVE.0,
            "kind": OBJECTIVE.1,
            "metadata": metadata(name, &names.namespace),
            "spec": {
                "priority": parts::priority(*priority, deployment.flaw),
                "poolRef": {"group": "inference.networking.k8s.io", "kind": "InferencePool", "name": pool.name},
            },
        })
    });
    objectives.collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use poolproof_fixtures::flaw::Flaw;

    use super::super::committed::deployment;
    use super::*;
    use poolproof_model::parts::Gateway;

    #[test]
    fn a_flaw_in_chart_values_alone_changes_the_mark() {
        let mark = |flaw| {
            let mut deployment = deployment(Gateway::Agentgateway);
            deployment.flaw = flaw;
            of(&deployment).unwrap().mark(&deployment)
        };
        assert_eq!(mark(None), mark(None));
        assert_ne!(mark(None), mark(Some(Flaw::Random)));
    }
}
