//! The reference endpoint picker: its arguments as a separate program, the same on every stack.

use crate::parts::gie::config::{LORA_AFFINITY_WEIGHT, scrape_interval};
use poolproof_model::topology::{Pool, Topology};

/// Its arguments, except its flaw. `endpoint` maps the name of an endpoint to its address.
pub(super) fn args(
    topology: &Topology,
    pool: &Pool,
    namespace: &str,
    (listen, metrics_listen): (&str, &str),
    endpoint: impl Fn(&str) -> String,
) -> Vec<String> {
    let scrape_interval_ms = scrape_interval(pool).trim_end_matches("ms");
    let mut args: Vec<String> = [
        ["serve", "epp"],
        ["--listen", listen],
        ["--metrics-listen", metrics_listen],
        ["--pool", &pool.name],
        ["--namespace", namespace],
        ["--scrape-interval-ms", scrape_interval_ms],
    ]
    .concat()
    .into_iter()
    .map(str::to_owned)
    .collect();
    for name in pool.endpoint_names() {
        args.push(format!("--endpoint={name}={}", endpoint(&name)));
    }
    for (objective, priority) in &topology.objectives {
        args.push(format!("--objective={objective}={priority}"));
    }
    let mut models = topology.models.iter();
    let model = models.find(|model| model.pools.iter().any(|own| own.name == pool.name));
    for (name, served) in model.iter().flat_map(|model| &model.rewrites) {
        let served = served.iter();
        args.extend(served.map(|(served, weight)| format!("--rewrite={name}={served}:{weight}")));
    }
    if pool.flow_control {
        args.extend(["--flow-control", "--round-robin"].map(str::to_owned));
        args.push(format!("--ttl-ms={}", pool.held_ttl_ms));
        let max_in_flight = pool.max_in_flight.iter();
        args.extend(max_in_flight.map(|max| format!("--max-in-flight={max}")));
        for (priority, held) in pool.held_max_by_priority(&topology.objectives) {
            args.push(format!("--max-requests={priority}={held}"));
        }
    }
    if pool.session_affinity {
        args.push("--session-affinity".to_owned());
    }
    if pool.lora_affinity {
        args.push(format!("--lora-affinity-weight={LORA_AFFINITY_WEIGHT}"));
    }
    args
}
