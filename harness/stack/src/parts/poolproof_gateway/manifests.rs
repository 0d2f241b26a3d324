//! The reference gateway of poolproof.

use poolproof_fixtures::flaw::Component;
use serde_json::Value;

use crate::kubernetes::Deployment;
use crate::kubernetes::deployment::{EPP_PORT, GATEWAY, POD_PORT};

/// The port for changes of weights.
pub(super) const MANAGEMENT_PORT: u16 = 15020;

pub(super) fn objects(deployment: &Deployment) -> Vec<Value> {
    let scheme = if deployment.picker_tls {
        "https://"
    } else {
        ""
    };
    let mut args: Vec<String> = ["serve", "gateway", "--listen", "0.0.0.0:8080"]
        .map(str::to_owned)
        .into();
    args.push(format!("--management-listen=0.0.0.0:{MANAGEMENT_PORT}"));
    args.push(format!("--seed={}", deployment.seed));
    for model in &deployment.topology.models {
        let pools = model.pools.iter().map(|pool| {
            let host = &deployment.names(pool).picker_host;
            format!("{}:{}@{scheme}{host}:{EPP_PORT}", pool.name, pool.weight)
        });
        args.push("--route".to_owned());
        args.push(format!(
            "{}={}",
            model.name,
            pools.collect::<Vec<_>>().join(",")
        ));
        let names = model.routed_names();
        args.extend(names.map(|name| format!("--adapter={name}={}", model.name)));
        let timeout = model.request_timeout_ms.iter();
        args.extend(timeout.map(|ms| format!("--route-timeout={}={ms}", model.name)));
    }
    let own = (GATEWAY, deployment.namespace.as_str());
    vec![
        deployment.own_part(own, Component::Gateway, args, &[POD_PORT]),
        deployment.gateway_service(),
    ]
}
