//! The reference gateway of poolproof.

use poolproof_fixtures::flaw::Component;
use serde_json::Value;

use super::pools::{EPP_PORT, epp_host};
use super::{GATEWAY, POD_PORT, Plan, deployment, gateway_service, own_pod};
use crate::stack::parts::EndpointPicker;

/// The port at which it takes other weights.
pub(in super::super) const MANAGEMENT_PORT: u16 = 15020;

pub(super) fn objects(plan: &Plan) -> Vec<Value> {
    let scheme = match plan.parts.epp {
        EndpointPicker::Gie => "https://",
        EndpointPicker::Poolproof => "",
    };
    let mut args: Vec<String> = ["serve", "gateway", "--listen", "0.0.0.0:8080"]
        .map(str::to_owned)
        .into();
    args.push(format!("--management-listen=0.0.0.0:{MANAGEMENT_PORT}"));
    args.push(format!("--seed={}", plan.seed));
    for model in &plan.topology.models {
        let pools = model.pools.iter().map(|pool| {
            let host = epp_host(plan, pool);
            format!("{}:{}@{scheme}{host}:{EPP_PORT}", pool.name, pool.weight)
        });
        args.push("--route".to_owned());
        args.push(format!(
            "{}={}",
            model.name,
            pools.collect::<Vec<_>>().join(",")
        ));
        let adapters = model.adapters.iter();
        args.extend(adapters.map(|adapter| format!("--adapter={adapter}={}", model.name)));
    }
    let pod = own_pod(plan, ("gateway", Component::Gateway), args, &[POD_PORT]);
    vec![
        deployment(GATEWAY, &plan.namespace, pod),
        gateway_service(plan),
    ]
}
