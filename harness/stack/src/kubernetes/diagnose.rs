//! A diagnosis after a failed start: pods that are not ready, warnings, last lines of logs.

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, LogParams};
use serde_json::Value;

use super::cluster::{Cluster, text};
use super::ready::{State, conditions, waiting};

/// The maximum number of findings of each kind.
const PODS_MAX: usize = 5;
const EVENTS_MAX: usize = 8;
const LOG_LINES: i64 = 5;

/// The findings about these namespaces, one per line. Unreadable data is skipped: the start has failed already.
pub(crate) async fn diagnose(cluster: &Cluster, namespaces: &[&str]) -> Vec<String> {
    let mut findings = Vec::new();
    for namespace in namespaces {
        let pods = cluster
            .list("v1", "Pod", namespace, "")
            .await
            .unwrap_or_default();
        for pod in pods.iter().filter(|pod| !is_ready(pod)).take(PODS_MAX) {
            let name = text(pod, "/metadata/name");
            let phase = pod["status"]["phase"].as_str().unwrap_or("unknown");
            let why = match waiting(pod) {
                Some((reason, message)) => format!("{reason}: {message}"),
                None => phase.to_owned(),
            };
            findings.push(format!("pod {namespace}/{name}: {why}"));
            for line in log(cluster, namespace, name).await {
                findings.push(format!("  {line}"));
            }
        }
        let events = cluster
            .list("v1", "Event", namespace, "")
            .await
            .unwrap_or_default();
        let warnings = events
            .iter()
            .rev()
            .filter(|event| event["type"] == "Warning");
        for event in warnings.take(EVENTS_MAX) {
            findings.push(format!(
                "event {namespace}/{}: {}: {}",
                text(event, "/involvedObject/name"),
                text(event, "/reason"),
                text(event, "/message")
            ));
        }
    }
    findings
}

fn is_ready(pod: &Value) -> bool {
    matches!(
        conditions(Some(pod), "/status/conditions", &["Ready"]),
        State::Ready
    )
}

/// The last log lines of its container; those before its last end, if it has ended.
async fn log(cluster: &Cluster, namespace: &str, pod: &str) -> Vec<String> {
    let pods = Api::<Pod>::namespaced(cluster.client.clone(), namespace);
    for previous in [true, false] {
        let parameters = LogParams {
            previous,
            tail_lines: Some(LOG_LINES),
            ..LogParams::default()
        };
        let text = pods.logs(pod, &parameters).await.unwrap_or_default();
        if !text.trim().is_empty() {
            return text.lines().map(str::to_owned).collect();
        }
    }
    Vec::new()
}
