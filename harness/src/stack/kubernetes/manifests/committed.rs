//! The manifests under `kind/` are what the default topology gives. To write them anew after a change:
//! `POOLPROOF_WRITE_MANIFESTS=1 cargo test -p poolproof-harness committed`.

use std::path::Path;

use serde_json::Value;

use super::{GATEWAY_NODE_PORT, Plan, controller_values, epp_values};
use crate::stack::StackKind;
use crate::stack::kind::cluster_config;
use crate::stack::parts::{Asked, Gateway, Parts};
use crate::topology::Topology;
use crate::versions::Versions;

#[test]
fn committed_manifests_are_those_of_the_default_topology() {
    let plan = |gateway| Plan {
        topology: Topology::default(),
        parts: Parts::of(
            StackKind::Kind,
            &Asked {
                gateway: Some(gateway),
                ..Asked::default()
            },
        )
        .unwrap(),
        namespace: "poolproof".to_owned(),
        gateway_node_port: Some(GATEWAY_NODE_PORT),
        own_image: "docker.io/library/poolproof:latest".to_owned(),
        flaw: None,
        seed: 1,
        versions: Versions::load().unwrap(),
    };
    let default = plan(Gateway::Agentgateway);
    check("cluster.yaml", &[cluster_config(30080)]);
    for pool in default.topology.pools() {
        let file = format!("manifests/epp-{}.values.yaml", pool.name);
        check(&file, &[epp_values(&default, pool)]);
    }
    check(
        "gateways/agentgateway/controller.values.yaml",
        &[controller_values()],
    );
    for (name, gateway) in [
        ("agentgateway", Gateway::Agentgateway),
        ("envoy", Gateway::Envoy),
        ("poolproof", Gateway::Poolproof),
    ] {
        let manifests = plan(gateway).manifests().unwrap();
        let file = |it: &str| format!("gateways/{name}/{it}.yaml");
        check(&file("0-namespaces"), &manifests.namespaces);
        check(&file("1-pools"), &manifests.pools);
        check(&file("2-gateway"), &manifests.gateway);
    }
}

fn check(file: &str, objects: &[Value]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../kind")
        .join(file);
    let text = serde_saphyr::to_string_multiple(objects).unwrap();
    if std::env::var_os("POOLPROOF_WRITE_MANIFESTS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &text).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == text,
        "kind/{file} is not what the default topology gives"
    );
}
