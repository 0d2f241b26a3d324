//! A diagnosis after a failed start: pods that are not ready, warnings, last lines of logs.

use k8s_openapi::api::core::v1::{Event, Pod};
use kube::ResourceExt;
use kube::api::{Api, LogParams};

use super::cluster::Cluster;
use super::ready::{is_ready, waiting};

/// The maximum number of findings of each kind.
const PODS_MAX: usize = 5;
const EVENTS_MAX: usize = 8;
const LOG_LINES: i64 = 5;

/// The findings about these namespaces, one per line. Unreadable data is skipped: the start has failed already.
pub(crate) async fn diagnose(cluster: &Cluster, namespaces: &[&str]) -> Vec<String> {
    let mut findings = Vec::new();
    for namespace in namespaces {
        let pods = cluster.read_all::<Pod>(namespace, "").await;
        let pods = pods.unwrap_or_default();
        for pod in pods.iter().filter(|pod| !is_ready(pod)).take(PODS_MAX) {
            let name = &pod.name_any();
            let status = pod.status.as_ref();
            let phase = status.and_then(|status| status.phase.as_deref());
            let phase = phase.unwrap_or("unknown");
            let why = match waiting(pod) {
                Some((reason, message)) => format!("{reason}: {message}"),
                None => phase.to_owned(),
            };
            findings.push(format!("pod {namespace}/{name}: {why}"));
            for line in log(cluster, namespace, name).await {
                findings.push(format!("  {line}"));
            }
        }
        let events = cluster.read_all::<Event>(namespace, "").await;
        let events = events.unwrap_or_default().into_iter().rev();
        let warnings = events.filter(|event| event.type_.as_deref() == Some("Warning"));
        for event in warnings.take(EVENTS_MAX) {
            findings.push(format!(
                "event {namespace}/{}: {}: {}",
                event.involved_object.name.unwrap_or_default(),
                event.reason.unwrap_or_default(),
                event.message.unwrap_or_default()
            ));
        }
    }
    findings
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
