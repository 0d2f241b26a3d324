//! Envoy with GIE's body-based router: no controller, its configuration is made from the topology.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use super::pools::{EPP_PORT, epp_host};
use super::{GATEWAY, POD_PORT, Plan, deployment, gateway_service, metadata};
use crate::stack::envoy::{Addresses, Upstream, bootstrap, routes_file};
use crate::stack::gie;
use crate::stack::parts::EndpointPicker;

const ROUTER: &str = "body-based-router";
const ROUTER_PORT: u16 = 9004;
const FOLDER: &str = "/etc/poolproof";
/// The file of its routes, in the ConfigMap of Envoy.
pub(in super::super) const ROUTES_FILE: &str = "routes.json";
/// Where Envoy says which routes it has; nobody outside its pod reaches it but by the API of the cluster.
pub(in super::super) const ADMIN_PORT: u16 = 9901;

pub(super) fn objects(plan: &Plan) -> Result<Vec<Value>> {
    let mut objects = router(plan)?;
    objects.extend(gateway(plan)?);
    Ok(objects)
}

/// The body-based router, what it may read, and the models that it is to know.
fn router(plan: &Plan) -> Result<Vec<Value>> {
    let namespace = &plan.namespace;
    let pod = json!({
        "serviceAccountName": ROUTER,
        "containers": [{
            "name": "bbr",
            "image": plan.versions.image("bbr")?,
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
        deployment(ROUTER, namespace, pod),
        json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata(ROUTER, namespace),
            "spec": {"selector": {"app": ROUTER}, "ports": [{"name": "grpc", "port": ROUTER_PORT}]},
        }),
    ];
    objects.extend(
        plan.topology
            .models
            .iter()
            .map(|model| gie::known_model(model, namespace, plan.flaw)),
    );
    Ok(objects)
}

fn gateway(plan: &Plan) -> Result<Vec<Value>> {
    let namespace = &plan.namespace;
    let pickers = plan.topology.pools().map(|pool| Upstream {
        host: epp_host(plan, pool),
        port: EPP_PORT,
        tls: plan.parts.epp == EndpointPicker::Gie,
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
    let config = bootstrap(&plan.topology, &addresses, &routes_at, plan.flaw);
    let config = format!("{config:#}");
    let routes = format!("{:#}", routes_file(&plan.topology, plan.flaw));
    let pod = json!({
        "containers": [{
            "name": "envoy",
            "image": plan.versions.image("envoy")?,
            "imagePullPolicy": "IfNotPresent",
            "command": ["/usr/local/bin/envoy"],
            "args": ["-c", format!("{FOLDER}/envoy.json"), "--concurrency", "2", "-l", "warning"],
            "ports": [{"containerPort": POD_PORT}],
            "readinessProbe": {"tcpSocket": {"port": POD_PORT}, "periodSeconds": 1},
            "volumeMounts": [{"name": "config", "mountPath": FOLDER}],
        }],
        "volumes": [{"name": "config", "configMap": {"name": GATEWAY}}],
    });
    let mut deployment = deployment(GATEWAY, namespace, pod);
    // A changed configuration makes a new pod.
    deployment["spec"]["template"]["metadata"]["annotations"] =
        json!({"poolproof.dev/config": format!("{:x}", gie::fnv(&(config.clone() + &routes)))});
    Ok(vec![
        json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata(GATEWAY, namespace),
            "data": {"envoy.json": config, ROUTES_FILE: routes},
        }),
        deployment,
        gateway_service(plan),
    ])
}
