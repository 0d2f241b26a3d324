//! Model servers: a StatefulSet for each pool, so that its pods have the names of the topology's endpoints.

use anyhow::Result;
use serde_json::{Value, json};

use super::pools::endpoint_labels;
use super::{Plan, metadata};
use crate::stack::parts::ModelServer;
use crate::stack::{lora, simulator};
use crate::topology::{Model, Pool};

/// The port of every model server.
pub(in super::super) const PORT: u16 = 8000;

pub(super) fn of_pool(plan: &Plan, model: &Model, pool: &Pool) -> Result<Vec<Value>> {
    let namespace = plan.namespace_of(pool);
    let mut labels = endpoint_labels(pool);
    labels["inference.networking.k8s.io/engine-type"] = "vllm".into();
    let container = container(plan, model)?;
    Ok(vec![
        json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata(&pool.name, &namespace),
            "spec": {
                "clusterIP": "None",
                "selector": {"app": pool.name},
                "ports": [{"name": "http", "port": PORT}],
            },
        }),
        json!({
            "apiVersion": "apps/v1",
            "kind": "StatefulSet",
            "metadata": metadata(&pool.name, &namespace),
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

fn container(plan: &Plan, model: &Model) -> Result<Value> {
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
    let (image, args): (&str, Vec<String>) = match plan.parts.model_server {
        ModelServer::Poolproof => {
            let args = [
                "serve",
                "model-server",
                "--listen",
                "0.0.0.0:8000",
                "--name",
                "$(POD_NAME)",
            ];
            let mut args: Vec<String> = args.map(str::to_owned).into();
            args.extend(["--model".to_owned(), model.name.clone()]);
            args.extend(lora::args(model, String::clone));
            (&plan.own_image, args)
        }
        ModelServer::LlmDInferenceSim => (
            plan.versions.image("llm-d-inference-sim")?,
            simulator::args(model, PORT),
        ),
        ModelServer::Vllm => {
            container["resources"] = json!({"limits": {"nvidia.com/gpu": 1}});
            let args = ["--model", &model.name, "--port", "8000"];
            (plan.versions.image("vllm")?, args.map(str::to_owned).into())
        }
    };
    container["image"] = image.into();
    container["args"] = args.into();
    Ok(container)
}
