//! Model servers: one StatefulSet per pool, so that its pods have the names of the topology's endpoints.

use anyhow::Result;
use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec};
use k8s_openapi::api::core::v1::{
    Container, ContainerPort, EnvVar, EnvVarSource, HTTPGetAction, ObjectFieldSelector, PodSpec,
    Probe,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::Value;

use crate::kubernetes::Deployment;
use crate::kubernetes::api::{
    container_port, every_second, metadata, selects, service, template, value,
};
use crate::kubernetes::deployment::MODEL_SERVER_PORT as PORT;
use crate::parts;
use poolproof_model::topology::{Model, Pool};

pub(super) fn of_pool(deployment: &Deployment, model: &Model, pool: &Pool) -> Result<Vec<Value>> {
    let names = deployment.names(pool);
    let namespace = &names.namespace;
    let mut labels = names.endpoint_labels.clone();
    labels.insert(
        "inference.networking.k8s.io/engine-type".to_owned(),
        "vllm".to_owned(),
    );
    let mut headless = service(&pool.name, namespace, ("http", PORT));
    if let Some(spec) = &mut headless.spec {
        spec.cluster_ip = Some("None".to_owned());
    }
    let pod = PodSpec {
        termination_grace_period_seconds: Some(5),
        containers: vec![container(deployment, model)?],
        ..PodSpec::default()
    };
    let servers = StatefulSet {
        metadata: metadata(&pool.name, namespace),
        spec: StatefulSetSpec {
            replicas: Some(i32::try_from(pool.endpoints)?),
            service_name: Some(pool.name.clone()),
            pod_management_policy: Some("Parallel".to_owned()),
            selector: selects(&pool.name),
            template: template(labels, pod),
            ..StatefulSetSpec::default()
        },
        ..StatefulSet::default()
    };
    Ok(vec![value(headless), value(servers)])
}

fn container(deployment: &Deployment, model: &Model) -> Result<Container> {
    let from = |name: &str, path: &str| EnvVar {
        name: name.to_owned(),
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                field_path: path.to_owned(),
                ..ObjectFieldSelector::default()
            }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    };
    let mut container = Container {
        name: "model-server".to_owned(),
        image_pull_policy: Some("IfNotPresent".to_owned()),
        env: Some(vec![
            from("POD_NAME", "metadata.name"),
            from("POD_NAMESPACE", "metadata.namespace"),
            from("POD_IP", "status.podIP"),
        ]),
        ports: Some(vec![ContainerPort {
            name: Some("http".to_owned()),
            ..container_port(PORT)
        }]),
        readiness_probe: Some(every_second(Probe {
            http_get: Some(HTTPGetAction {
                path: Some("/health".to_owned()),
                port: IntOrString::Int(i32::from(PORT)),
                ..HTTPGetAction::default()
            }),
            ..Probe::default()
        })),
        ..Container::default()
    };
    let server = parts::model_server(deployment.parts.model_server);
    server.fill(&mut container, deployment, model)?;
    Ok(container)
}
