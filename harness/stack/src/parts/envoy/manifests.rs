//! Envoy with GIE's body-based router, without a controller: its configuration is derived from the topology.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use super::config::{Addresses, Upstream, bootstrap, routes_file};
use crate::hash::fnv;
use crate::kubernetes::Deployment;
use crate::kubernetes::api::{deployment as deployment_of, metadata};
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
    let pod = json!({
        "serviceAccountName": ROUTER,
        "containers": [{
            "name": "bbr",
            "image": deployment.versions.image("bbr")?,
            "imagePullPolicy": "IfNotPresent",
            "args": [
                "--streaming", "--secure-serving=false", "--metrics-endpoint-auth=false", "--tracing=false", "--v=1",
                format!("--grpc-port={ROUTER_PORT}"),
            ],
            "env": [{"name": "NAMESPACE", "value": namespace}],
            "ports": [{"containerPort": ROUTER_PORT}],
            "readinessProbe": {"grpc": {"port": 9005}, "periodSeconds": 1},
        }],
    });
    let mut objects = vec![
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata(ROUTER, namespace)}),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": metadata(ROUTER, namespace),
            "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "watch"]}],
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": metadata(ROUTER, namespace),
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": ROUTER},
            "subjects": [{"kind": "ServiceAccount", "name": ROUTER, "namespace": namespace}],
        }),
        deployment_of(ROUTER, namespace, pod),
        json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata(ROUTER, namespace),
            "spec": {"selector": {"app": ROUTER}, "ports": [{"name": "grpc", "port": ROUTER_PORT}]},
        }),
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
    let pod = json!({
        "containers": [{
            "name": "envoy",
            "image": deployment.versions.image("envoy")?,
            "imagePullPolicy": "IfNotPresent",
            "command": ["/usr/local/bin/envoy"],
            "args": ["-c", format!("{FOLDER}/envoy.json"), "--concurrency", "2", "-l", "warning"],
            "ports": [{"containerPort": POD_PORT}],
            "readinessProbe": {"tcpSocket": {"port": POD_PORT}, "periodSeconds": 1},
            "volumeMounts": [{"name": "config", "mountPath": FOLDER}],
        }],
        "volumes": [{"name": "config", "configMap": {"name": GATEWAY}}],
    });
    let mut gateway = deployment_of(GATEWAY, namespace, pod);
    // A changed configuration creates a new pod.
    gateway["spec"]["template"]["metadata"]["annotations"] =
        json!({"poolproof.dev/config": format!("{:x}", fnv(&(config.clone() + &routes)))});
    Ok(vec![
        json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata(GATEWAY, namespace),
            "data": {"envoy.json": config, ROUTES_FILE: routes},
        }),
        gateway,
        deployment.gateway_service(),
    ])
}
