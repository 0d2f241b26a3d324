//! Model servers: one StatefulSet per pool, so that its pods have the names of the topology's endpoints.

use anyhow::Result;
use serde_json::{Value, json};

use crate::kubernetes::Deployment;
use crate::kubernetes::api::metadata;
use crate::kubernetes::deployment::MODEL_SERVER_PORT as PORT;
use crate::parts;
use poolproof_model::topology::{Model, Pool};

pub(super) fn of_pool(deployment: &Deployment, model: &Model, pool: &Pool) -> Result<Vec<Value>> {
    let names = deployment.names(pool);
    let namespace = &names.namespace;
    let mut labels = names.endpoint_labels.clone();
    labels["inference.networking.k8s.io/engine-type"] = "vllm".into();
    let container = container(deployment, model)?;
    Ok(vec![
        json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata(&pool.name, namespace),
            "spec": {
                "clusterIP": "None",
                "selector": {"app": pool.name},
                "ports": [{"name": "http", "port": PORT}],
            },
        }),
        json!({
            "apiVersion": "apps/v1",
            "kind": "StatefulSet",
            "metadata": metadata(&pool.name, namespace),
            "spec": {
                "replicas": pool.endpoints,
                "serviceName": pool.name,
                "podManagementPolicy": "Parallel",
                "selector": {"matchLabels": {"app": pool.name}},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {"terminationGracePeriodSeconds": 5, "containers": [container]},
                },
            },
        }),
    ])
}

fn container(deployment: &Deployment, model: &Model) -> Result<Value> {
    let from = |path: &str| json!({"fieldRef": {"fieldPath": path}});
    let mut container = json!({
        "name": "model-server",
        "imagePullPolicy": "IfNotPresent",
        "env": [
            {"name": "POD_NAME", "valueFrom": from("metadata.name")},
            {"name": "POD_NAMESPACE", "valueFrom": from("metadata.namespace")},
            {"name": "POD_IP", "valueFrom": from("status.podIP")},
        ],
        "ports": [{"name": "http", "containerPort": PORT}],
        "readinessProbe": {"httpGet": {"path": "/health", "port": PORT}, "periodSeconds": 1},
    });
    let server = parts::model_server(deployment.parts.model_server);
    server.fill(&mut container, deployment, model)?;
    Ok(container)
}
