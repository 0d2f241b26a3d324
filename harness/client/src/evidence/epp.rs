//! The metrics of an endpoint picker, from its `/metrics`.
//!
//! Source: GIE v1.5.0, pkg/epp/metrics/metrics.go; llm-d-router v0.10.0, pkg/epp/metrics. llm-d-router exports GIE's names beside its own, so
//! that only one family of a page counts.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use super::{metrics, prometheus};
use poolproof_model::target::Pool;

/// The names of an endpoint picker's metrics.
struct Names {
    /// The prefixes of all its names.
    prefixes: &'static [&'static str],
    attempts: &'static str,
    /// The label of `attempts` with the endpoint.
    endpoint: &'static str,
    refused: &'static str,
    held: &'static str,
    saturation: &'static str,
    /// One sample for each endpoint.
    queues: &'static str,
}

const LLM_D_ROUTER: Names = Names {
    prefixes: &["llm_d_epp_"],
    attempts: "llm_d_epp_scheduler_attempts_total",
    endpoint: "endpoint_name",
    refused: "llm_d_epp_request_error_total",
    held: "llm_d_epp_flow_control_queue_size",
    saturation: "llm_d_epp_flow_control_pool_saturation",
    queues: "llm_d_epp_per_endpoint_queue_size",
};

const GIE: Names = Names {
    prefixes: &[
        "inference_extension_",
        "inference_objective_",
        "inference_pool_",
    ],
    attempts: "inference_extension_scheduler_attempts_total",
    endpoint: "pod_name",
    refused: "inference_objective_request_error_total",
    held: "inference_extension_flow_control_queue_size",
    saturation: "inference_extension_flow_control_pool_saturation",
    queues: "inference_pool_per_pod_queue_size",
};

impl Names {
    /// Those that count on a page; `None` if it is not that of an endpoint picker.
    fn of(text: &str) -> Option<&'static Self> {
        const ALL: [&Names; 2] = [&LLM_D_ROUTER, &GIE];
        ALL.into_iter().find(|names| {
            let mut samples = prometheus::parse(text);
            samples.any(|sample| {
                let mut prefixes = names.prefixes.iter();
                prefixes.any(|prefix| sample.name.starts_with(prefix))
            })
        })
    }
}

/// One reading of an endpoint picker.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// Picks by endpoint since its start.
    pub picks: BTreeMap<String, u64>,
    /// Requests refused since its start.
    pub refused_total: u64,
    /// Failed pick attempts since its start.
    pub failed_total: u64,
    /// Whether it exports metrics of an endpoint picker. Before the first request, these include no counters.
    pub is_picker: bool,
    /// Requests currently held, by priority.
    pub held: BTreeMap<i32, u64>,
    /// The saturation that it reports for the pool, if any: from 1 on it holds or sheds requests.
    pub saturation: Option<f64>,
}

impl Reading {
    /// The number of all picks.
    pub fn picks_total(&self) -> u64 {
        self.picks.values().sum()
    }
}

/// Reads the metrics of a pool's endpoint picker. Returns `None` if the target has no address for them.
pub async fn read(http: &reqwest::Client, pool: &Pool) -> Result<Option<Reading>> {
    let Some(url) = &pool.epp_metrics else {
        return Ok(None);
    };
    let text = metrics(http, url)
        .await
        .with_context(|| format!("metrics of the endpoint picker of pool {}", pool.name))?;
    Ok(Some(parse(&text, pool)))
}

fn parse(text: &str, pool: &Pool) -> Reading {
    let mut reading = Reading::default();
    let Some(names) = Names::of(text) else {
        return reading;
    };
    reading.is_picker = true;
    for sample in prometheus::parse(text) {
        let count = sample.value.max(0.0) as u64;
        if sample.name == names.attempts && sample.label("status") == "success" {
            let name = endpoint_name(sample.label(names.endpoint), pool);
            *reading.picks.entry(name).or_default() += count;
        } else if sample.name == names.attempts {
            reading.failed_total += count;
        } else if sample.name == names.refused {
            reading.refused_total += count;
        } else if sample.name == names.held {
            if let Ok(priority) = sample.label("priority").parse() {
                *reading.held.entry(priority).or_default() += count;
            }
        } else if sample.name == names.saturation {
            reading.saturation = Some(sample.value);
        }
    }
    reading
}

/// The number of endpoints of a pool that an endpoint picker has metrics of, from its own metrics. Its health check is
/// weaker: GIE v1.5.0 is SERVING without any pod.
pub fn endpoints_known(text: &str, pool: &str) -> usize {
    let Some(names) = Names::of(text) else {
        return 0;
    };
    prometheus::parse(text)
        .filter(|sample| sample.name == names.queues && sample.label("name") == pool)
        .count()
}

/// The endpoint of a `pod_name`. GIE appends the rank of the port to the pod's name.
fn endpoint_name(pod_name: &str, pool: &Pool) -> String {
    let known = |name: &str| pool.endpoints.iter().any(|e| e.name == name);
    match pod_name.rsplit_once("-rank-") {
        Some((pod, _)) if !known(pod_name) => pod.to_owned(),
        _ => pod_name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn picks_queues_and_saturation() {
        let pool = Pool {
            name: "p".into(),
            weight: 1,
            epp_metrics: None,
            flow_control: None,
            fair_flows: None,
            prefix_affinity: None,
            session_header: None,
            held_ttl_ms: None,
            max_in_flight: None,
            held_max: Default::default(),
            endpoints: vec![],
        };
        let text = "inference_extension_scheduler_attempts_total{status=\"success\",pod_name=\"p-0-rank-0\"} 7\n\
                    inference_extension_scheduler_attempts_total{status=\"failure\",pod_name=\"\"} 2\n\
                    inference_extension_flow_control_queue_size{priority=\"-10\",model_name=\"m\"} 60\n\
                    inference_extension_flow_control_queue_size{priority=\"10\"} 30\n\
                    inference_objective_request_error_total{error_code=\"x\"} 5\n\
                    inference_pool_per_pod_queue_size{name=\"p\",model_server_pod=\"p-0\"} 0\n\
                    inference_pool_per_pod_queue_size{name=\"p\",model_server_pod=\"p-1\"} 0\n\
                    inference_pool_per_pod_queue_size{name=\"q\",model_server_pod=\"q-0\"} 0\n\
                    inference_extension_flow_control_pool_saturation 1.2\n";
        let llm_d = text
            .replace("inference_extension_", "llm_d_epp_")
            .replace("inference_objective_", "llm_d_epp_")
            .replace("inference_pool_per_pod", "llm_d_epp_per_endpoint")
            .replace("pod_name", "endpoint_name");
        // llm-d-router exports both, of which one counts.
        for text in [text, &llm_d, &(text.to_owned() + &llm_d)] {
            let reading = parse(text, &pool);
            assert_eq!(reading.picks, BTreeMap::from([("p-0".to_owned(), 7)]));
            assert_eq!(reading.held, BTreeMap::from([(-10, 60), (10, 30)]));
            assert_eq!(reading.saturation, Some(1.2));
            assert_eq!((reading.failed_total, reading.refused_total), (2, 5));
            assert!(reading.is_picker && !parse("up 1\n", &pool).is_picker);
            assert_eq!(endpoints_known(text, "p"), 2);
        }
    }
}
