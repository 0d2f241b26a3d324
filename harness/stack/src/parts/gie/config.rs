//! The configuration of GIE's endpoint picker, the same on every stack.

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use poolproof_fixtures::flaw::Flaw;
use serde_json::{Value, json};

use crate::hash::fnv;
use crate::kubernetes::api::{OBJECTS_VERSION, labels, metadata, value};
use poolproof_model::topology::{Model, Pool, Topology};

/// A busy machine exceeds GIE's default of 200 ms, and then the pool counts as saturated.
const STALENESS: &str = "1s";
/// Flows of one priority take turns. By GIE's default, a flow waits behind all that arrived before it.
const FAIRNESS: &str = "round-robin-fairness-policy";

/// The label of ConfigMaps that the body-based router reads models from (GIE v1.5.0,
/// pkg/bbr/plugins/basemodelextractor).
pub(crate) const ADAPTERS_LABEL: &str = "inference.networking.k8s.io/bbr-managed";

/// The weight of LoRA affinity: GIE's default for a scorer without a weight. GIE's own configuration does not have this
/// scorer.
pub(crate) const LORA_AFFINITY_WEIGHT: u8 = 1;

/// The interval between two scrapes of an endpoint. With flow control, held requests are released in bursts after
/// scrapes, about one request per millisecond of interval; a short one keeps bursts small. Otherwise it is GIE's
/// default.
pub(crate) fn scrape_interval(pool: &Pool) -> &'static str {
    if pool.flow_control { "10ms" } else { "50ms" }
}

/// The API of an EndpointPickerConfig.
pub(super) struct Api {
    /// Its `apiVersion`.
    pub(super) version: &'static str,
    /// Whether the saturation detector belongs to `flowControl`.
    pub(super) detector_in_flow_control: bool,
}

/// An EndpointPickerConfig with GIE's default scorers and thresholds, and flow control if the topology has it. Flaws
/// that are possible in a configuration omit scorers.
pub(super) fn config(api: &Api, topology: &Topology, pool: &Pool, flaw: Option<Flaw>) -> Value {
    let mut scorers = vec![
        ("queue-scorer", 2),
        ("kv-cache-utilization-scorer", 2),
        ("prefix-cache-scorer", 3),
    ];
    if pool.lora_affinity {
        scorers.push(("lora-affinity-scorer", LORA_AFFINITY_WEIGHT));
    }
    let scorers = scorers.iter().filter(|(name, _)| match flaw {
        Some(Flaw::Random) => false,
        Some(Flaw::KvIgnored) => *name != "kv-cache-utilization-scorer",
        _ => true,
    });
    let max_in_flight = pool.max_in_flight.filter(|_| pool.flow_control);
    let (detector, detectors) = match max_in_flight {
        Some(max) => {
            let by_count =
                json!({"type": "concurrency-detector", "parameters": {"maxConcurrency": max}});
            let producer = json!({"type": "inflight-load-producer"});
            ("concurrency-detector", vec![by_count, producer])
        }
        None => {
            let by_metrics = json!({
                "type": "utilization-detector",
                "parameters": {
                    "queueDepthThreshold": 5, "kvCacheUtilThreshold": 0.8, "metricsStalenessThreshold": STALENESS,
                },
            });
            ("utilization-detector", vec![by_metrics])
        }
    };
    let mut plugins = detectors;
    plugins.push(json!({"type": "max-score-picker"}));
    plugins.extend(scorers.clone().map(|(name, _)| json!({"type": name})));
    if pool.flow_control {
        plugins.push(json!({"type": FAIRNESS}));
    }
    let mut profile = vec![json!({"pluginRef": "max-score-picker"})];
    profile.extend(scorers.map(|(name, weight)| json!({"pluginRef": name, "weight": weight})));
    let mut config = json!({
        "apiVersion": api.version,
        "kind": "EndpointPickerConfig",
        "plugins": plugins,
        "schedulingProfiles": [{"name": "default", "plugins": profile}],
    });
    if pool.flow_control {
        let mut priorities: Vec<i32> = topology.objectives.values().copied().collect();
        let limits = pool.held_max_by_priority(&topology.objectives);
        priorities.sort_unstable();
        priorities.dedup();
        let bands: Vec<Value> = priorities
            .into_iter()
            .rev()
            .map(|priority| {
                let mut band = json!({"priority": priority, "fairnessPolicyRef": FAIRNESS});
                if let Some(held) = limits.get(&priority) {
                    // A quantity of Kubernetes.
                    band["maxRequests"] = held.to_string().into();
                }
                band
            })
            .collect();
        config["featureGates"] = json!(["flowControl"]);
        config["flowControl"] = json!({
            "defaultRequestTTL": format!("{}ms", pool.held_ttl_ms),
            "defaultPriorityBand": {"fairnessPolicyRef": FAIRNESS},
            "priorityBands": bands,
        });
    }
    let detector = json!({"pluginRef": detector});
    if api.detector_in_flow_control {
        config["flowControl"]["saturationDetector"] = detector;
    } else {
        config["saturationDetector"] = detector;
    }
    config
}

/// The ConfigMap from which the body-based router reads a model and its LoRA adapters.
pub(crate) fn known_model(model: &Model, namespace: &str, flaw: Option<Flaw>) -> Value {
    let mut data = labels(&[("baseModel", &model.name)]);
    let names: Vec<&String> = model.routed_names().collect();
    if !names.is_empty() && flaw != Some(Flaw::AdapterUnrouted) {
        // A JSON list is also a YAML list.
        let adapters = json!(names).to_string();
        data.insert("adapters".to_owned(), adapters);
    }
    value(ConfigMap {
        metadata: ObjectMeta {
            // A model name may contain characters that are invalid in object names.
            name: Some(format!("model-{:x}", fnv(&model.name))),
            namespace: Some(namespace.to_owned()),
            labels: Some(labels(&[(ADAPTERS_LABEL, "true")])),
            ..ObjectMeta::default()
        },
        data: Some(data),
        ..ConfigMap::default()
    })
}

/// The InferenceModelRewrites of a pool of the model, in this API group.
pub(crate) fn rewrites(model: &Model, pool: &Pool, namespace: &str, group: &str) -> Vec<Value> {
    let rewrites = model.rewrites.iter().map(|(name, served)| {
        let targets = served.iter();
        let targets = targets.map(|(name, weight)| json!({"modelRewrite": name, "weight": weight}));
        json!({
            "apiVersion": format!("{group}/{OBJECTS_VERSION}"),
            "kind": "InferenceModelRewrite",
            // A model name may contain characters that are invalid in object names.
            "metadata": metadata(&format!("rewrite-{:x}", fnv(name)), namespace),
            "spec": {
                "poolRef": {"group": "inference.networking.k8s.io", "kind": "InferencePool", "name": pool.name},
                "rules": [{
                    "matches": [{"model": {"type": "Exact", "value": name}}],
                    "targets": targets.collect::<Vec<_>>(),
                }],
            },
        })
    });
    rewrites.collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn held_requests_are_limited_as_the_topology_says() {
        let topology = Topology::default();
        let pool = &topology.models[0].pools[0];
        let api = Api {
            version: "a/v1",
            detector_in_flow_control: true,
        };
        let flow_control = &config(&api, &topology, pool, None)["flowControl"];
        let detector = &flow_control["saturationDetector"]["pluginRef"];
        assert_eq!(detector, "utilization-detector");
        assert_eq!(flow_control["defaultRequestTTL"], "60000ms");
        let bands = flow_control["priorityBands"].as_array().unwrap();
        let limits = bands.iter().map(|band| band["maxRequests"].as_str());
        assert_eq!(limits.collect::<Vec<_>>(), [None, Some("250")]);
    }

    #[test]
    fn a_model_of_any_name_has_a_config_map() {
        let model = Model {
            name: "org/Model_1".into(),
            adapters: vec!["org/lora".into()],
            max_loras: 1,
            request_timeout_ms: None,
            rewrites: Default::default(),
            pools: Vec::new(),
        };
        let object = known_model(&model, "default", None);
        assert_eq!(object["data"]["baseModel"], "org/Model_1");
        assert_eq!(object["data"]["adapters"], r#"["org/lora"]"#);
        let name = object["metadata"]["name"].as_str().unwrap();
        assert!(
            name.bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        );
    }
}
