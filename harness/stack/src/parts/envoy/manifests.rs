//! Envoy with GIE's body-based router, without a controller: its configuration is derived from the topology.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::Result;
use k8s_openapi::api::core::v1::{
    ConfigMap, ConfigMapVolumeSource, Container, EnvVar, GRPCAction, PodSpec, Probe,
    ServiceAccount, Volume, VolumeMount,
};
use k8s_openapi::api::rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject};
use serde_json::Value;

use super::config::{Addresses, Upstream, bootstrap, routes_file};
use crate::hash::fnv;
use crate::kubernetes::Deployment;
use crate::kubernetes::api::{
    container_port, deployment as deployment_of, every_second, labels, listens, metadata, service,
    value,
};
use crate::kubernetes::deployment::{EPP_PORT, GATEWAY, POD_PORT};
use crate::parts::gie::config::known_model;

const ROUTER: &str = "body-based-router";
const ROUTER_PORT: u16 = 9004;
const FOLDER: &str = "/etc/poolproof";
/// The file of its routes, in Envoy's ConfigMap.
pub(super) const ROUTES_FILE: &str = "routes.json";
/// The port of Envoy's admin API. From outside its pod it is reachable only through the cluster's API.
pub(super) const ADMIN_PORT: u16 = 9901;

pub(super) fn objects(deployment: &Deployment) -> Result<Vec<Value>> {
    let mut objects = router(deployment)?;
    objects.extend(gateway(deployment)?);
    Ok(objects)
}

/// The body-based router, its permissions, and the ConfigMaps of its models.
fn router(deployment: &Deployment) -> Result<Vec<Value>> {
    let namespace = &deployment.namespace;
    let router = Container {
        name: "bbr".to_owned(),
        image: Some(deployment.versions.image("bbr")?.into()),
        image_pull_policy: Some("IfNotPresent".to_owned()),
        args: Some(texts(&[
            "--streaming",
            "--secure-serving=false",
            "--metrics-endpoint-auth=false",
            "--tracing=false",
            "--v=1",
            &format!("--grpc-port={ROUTER_PORT}"),
        ])),
        env: Some(vec![EnvVar {
            name: "NAMESPACE".to_owned(),
            value: Some(namespace.clone()),
            ..EnvVar::default()
        }]),
        ports: Some(vec![container_port(ROUTER_PORT)]),
        readiness_probe: Some(every_second(Probe {
            grpc: Some(GRPCAction {
                port: 9005,
                ..GRPCAction::default()
            }),
            ..Probe::default()
        })),
        ..Container::default()
    };
    let pod = PodSpec {
        service_account_name: Some(ROUTER.to_owned()),
        containers: vec![router],
        ..PodSpec::default()
    };
    let mut objects = vec![
        value(ServiceAccount {
            metadata: metadata(ROUTER, namespace),
            ..ServiceAccount::default()
        }),
        value(Role {
            metadata: metadata(ROUTER, namespace),
            rules: Some(vec![PolicyRule {
                api_groups: Some(texts(&[""])),
                resources: Some(texts(&["configmaps"])),
                verbs: texts(&["get", "list", "watch"]),
                ..PolicyRule::default()
            }]),
        }),
        value(RoleBinding {
            metadata: metadata(ROUTER, namespace),
            role_ref: RoleRef {
                api_group: Some("rbac.authorization.k8s.io".to_owned()),
                kind: "Role".to_owned(),
                name: ROUTER.to_owned(),
            },
            subjects: Some(vec![Subject {
                kind: "ServiceAccount".to_owned(),
                name: ROUTER.to_owned(),
                namespace: Some(namespace.clone()),
                ..Subject::default()
            }]),
        }),
        value(deployment_of(ROUTER, namespace, pod)),
        value(service(ROUTER, namespace, ("grpc", ROUTER_PORT))),
    ];
    objects.extend(
        deployment
            .topology
            .models
            .iter()
            .map(|model| known_model(model, namespace, deployment.flaw)),
    );
    Ok(objects)
}

fn gateway(deployment: &Deployment) -> Result<Vec<Value>> {
    let namespace = &deployment.namespace;
    let pickers = deployment.topology.pools().map(|pool| Upstream {
        host: deployment.names(pool).picker_host.clone(),
        port: EPP_PORT,
        tls: deployment.picker_tls,
    });
    let addresses = Addresses {
        listener: SocketAddr::from((Ipv4Addr::UNSPECIFIED, POD_PORT)),
        admin: SocketAddr::from((Ipv4Addr::LOCALHOST, ADMIN_PORT)),
        bbr: Upstream {
            host: format!("{ROUTER}.{namespace}.svc"),
            port: ROUTER_PORT,
            tls: false,
        },
        pickers: pickers.collect(),
    };
    let routes_at = Path::new(FOLDER).join(ROUTES_FILE);
    let config = bootstrap(
        &deployment.topology,
        &addresses,
        &routes_at,
        deployment.flaw,
    );
    let config = format!("{config:#}");
    let routes = format!("{:#}", routes_file(&deployment.topology, deployment.flaw));
    let envoy = Container {
        name: "envoy".to_owned(),
        image: Some(deployment.versions.image("envoy")?.into()),
        image_pull_policy: Some("IfNotPresent".to_owned()),
        command: Some(texts(&["/usr/local/bin/envoy"])),
        args: Some(texts(&[
            "-c",
            &format!("{FOLDER}/envoy.json"),
            "--concurrency",
            "2",
            "-l",
            "warning",
        ])),
        ports: Some(vec![container_port(POD_PORT)]),
        readiness_probe: Some(listens(POD_PORT)),
        volume_mounts: Some(vec![VolumeMount {
            name: "config".to_owned(),
            mount_path: FOLDER.to_owned(),
            ..VolumeMount::default()
        }]),
        ..Container::default()
    };
    let pod = PodSpec {
        containers: vec![envoy],
        volumes: Some(vec![Volume {
            name: "config".to_owned(),
            config_map: Some(ConfigMapVolumeSource {
                name: GATEWAY.to_owned(),
                ..ConfigMapVolumeSource::default()
            }),
            ..Volume::default()
        }]),
        ..PodSpec::default()
    };
    let mut gateway = deployment_of(GATEWAY, namespace, pod);
    // A changed configuration creates a new pod.
    let hash = format!("{:x}", fnv(&(config.clone() + &routes)));
    if let Some(metadata) = &mut gateway.spec.template.metadata {
        metadata.annotations = Some(labels(&[("poolproof.dev/config", &hash)]));
    }
    Ok(vec![
        value(ConfigMap {
            metadata: metadata(GATEWAY, namespace),
            data: Some(labels(&[("envoy.json", &config), (ROUTES_FILE, &routes)])),
            ..ConfigMap::default()
        }),
        value(gateway),
        deployment.gateway_service(),
    ])
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}
