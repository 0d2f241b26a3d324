//! The manifests under `kind/` are those of the default topology. To regenerate them after a change:
//! `POOLPROOF_WRITE_MANIFESTS=1 cargo test -p poolproof-stack committed`.

use std::path::Path;

use serde_json::Value;

use super::{objects, plan};
use crate::kubernetes::Deployment;
use crate::parts;
use crate::places::kind::cluster_config;
use crate::{ClusterOptions, KindOptions, Options, ProcessOptions};
use poolproof_model::parts::{Gateway, Named, Parts, StackKind};
use poolproof_model::topology::Topology;

/// The options of a kind stack with the default topology and this gateway.
pub(crate) fn options(gateway: Gateway) -> Options {
    Options {
        kind: StackKind::Kind,
        topology: Topology::default(),
        target_file: None,
        target: None,
        flaw: None,
        seed: 1,
        access: Default::default(),
        wait_ready: None,
        parts: Parts {
            gateway,
            ..Parts::default_of(StackKind::Kind)
        },
        builds: Default::default(),
        program: "poolproof".into(),
        artifacts: None,
        processes: ProcessOptions {
            bin_dir: None,
            kube_api: poolproof_model::parts::KubeApi::StandIn,
        },
        private: None,
        kind_cluster: KindOptions {
            node_image: None,
            keep: false,
        },
        cluster: ClusterOptions {
            context: None,
            namespace: None,
            existing: false,
            gateway_url: None,
            own_image: None,
        },
    }
}

/// The deployment of those options.
pub(crate) fn deployment(gateway: Gateway) -> Deployment {
    let own_image = "docker.io/library/poolproof:latest".to_owned();
    plan(&options(gateway), "poolproof", own_image).unwrap()
}

#[test]
fn committed_manifests_are_those_of_the_default_topology() {
    let default = deployment(Gateway::Agentgateway);
    check("cluster.yaml", &[cluster_config(30080)]);
    for pool in default.topology.pools() {
        let file = format!("manifests/epp-{}.values.yaml", pool.name);
        let (_, values) = parts::picker(default.parts.epp)
            .chart(&default, pool)
            .unwrap();
        check(&file, &[values]);
    }
    for gateway in Gateway::ALL {
        let deployment = deployment(*gateway);
        let objects = objects::of(&deployment).unwrap();
        let file = |name: &str| format!("gateways/{gateway}/{name}.yaml");
        check(&file("0-namespaces"), &objects.namespaces);
        check(&file("1-pools"), &objects.pools);
        check(&file("2-gateway"), &objects.gateway);
        if let Some(values) = parts::gateway(*gateway).controller_values() {
            check(&file("controller.values"), &[values]);
        }
    }
}

fn check(file: &str, objects: &[Value]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../kind")
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
