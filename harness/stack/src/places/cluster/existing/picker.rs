//! Reads an existing endpoint picker: its pod, its metrics and its configuration.

use std::path::Path;

use anyhow::Result;
use serde_json::Value;
use url::Url;

use crate::kubernetes::deployment::EPP_METRICS_PORT;
use crate::kubernetes::{Cluster, Forwards, To, list, selector, text};
use poolproof_client::evidence;

#[derive(Default)]
pub(super) struct Picker {
    /// The URL of its metrics, if readable.
    pub(super) metrics: Option<Url>,
    /// Whether it queues by priority, if its configuration is readable.
    pub(super) flow_control: Option<bool>,
    /// Whether flows of one priority take turns, if its configuration is readable.
    pub(super) fair_flows: Option<bool>,
    /// Its pods.
    pub(super) pods: Vec<Value>,
}

/// The endpoint picker of a pool.
pub(super) async fn read(
    cluster: &Cluster,
    namespace: &str,
    pool: &Value,
    http: &reqwest::Client,
    forwards: &mut Forwards,
) -> Result<Picker> {
    let service = text(pool, "/spec/endpointPickerRef/name");
    let Some(service) = cluster.get("v1", "Service", namespace, service).await? else {
        return Ok(Picker::default());
    };
    let labels = selector(&service["spec"]["selector"]);
    let pods = cluster.list("v1", "Pod", namespace, &labels).await?;
    let Some(pod) = pods.first() else {
        return Ok(Picker::default());
    };
    let ports = list(&pod["spec"]["containers"]).flat_map(|container| list(&container["ports"]));
    let named = ports.filter(|port| {
        port["name"]
            .as_str()
            .is_some_and(|name| name.contains("metrics"))
    });
    let port = named
        .filter_map(|port| port["containerPort"].as_u64())
        .next();
    let port = port.map_or(EPP_METRICS_PORT, |port| port as u16);
    let url = forwards
        .add(cluster, namespace, To::Labelled(labels), port)
        .await?;
    let metrics: Url = format!("{url}/metrics").parse()?;
    // Authentication is on by default, and then metrics need a token.
    let readable = evidence::get(http, &metrics).await.is_ok();
    let (mut flow_control, mut fair_flows) = (None, None);
    if let Some(file) = configuration(pod) {
        let volumes = list(&pod["spec"]["volumes"]);
        for name in volumes.filter_map(|volume| volume["configMap"]["name"].as_str()) {
            if let Ok(Some(config)) = cluster.get("v1", "ConfigMap", namespace, name).await {
                flow_control = flow_control.or(queues_by_priority(&config["data"], &file));
                fair_flows = fair_flows.or(takes_turns(&config["data"], &file));
            }
        }
    }
    Ok(Picker {
        metrics: readable.then_some(metrics),
        flow_control,
        fair_flows,
        pods,
    })
}

/// The name of the picker's configuration file; GIE's chart mounts other files in the same folder.
fn configuration(pod: &Value) -> Option<String> {
    let containers = list(&pod["spec"]["containers"]);
    let args = containers
        .flat_map(|container| list(&container["command"]).chain(list(&container["args"])));
    let mut args = args.filter_map(Value::as_str);
    let path = args.find_map(|arg| {
        let (name, value) = arg.split_once('=').unwrap_or((arg, ""));
        (name.trim_start_matches('-') == "config-file").then_some(value)
    })?;
    let path = if path.is_empty() { args.next()? } else { path };
    Some(Path::new(path).file_name()?.to_str()?.to_owned())
}

/// Whether the EndpointPickerConfig in the file of this name has the feature gate `flowControl`.
fn queues_by_priority(files: &Value, name: &str) -> Option<bool> {
    let config: Value = serde_saphyr::from_str(files[name].as_str()?).ok()?;
    Some(list(&config["featureGates"]).any(|gate| gate == "flowControl"))
}

/// Whether the EndpointPickerConfig in the file of this name lets the flows of every priority take turns: each band has a
/// `round-robin-fairness-policy`.
fn takes_turns(files: &Value, name: &str) -> Option<bool> {
    let config: Value = serde_saphyr::from_str(files[name].as_str()?).ok()?;
    let flow_control = &config["flowControl"];
    let is_fair = |band: &Value| {
        let policy = &band["fairnessPolicyRef"];
        let mut plugins = list(&config["plugins"]);
        plugins.any(|plugin| {
            let name = plugin.get("name").unwrap_or(&plugin["type"]);
            plugin["type"] == "round-robin-fairness-policy" && name == policy
        })
    };
    let mut bands = list(&flow_control["priorityBands"]);
    let all_fair = is_fair(&flow_control["defaultPriorityBand"]) && bands.all(is_fair);
    Some(queues_by_priority(files, name)? && all_fair)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn flows_take_turns_if_every_band_has_a_policy_of_that_type() {
        let config = |band: &str| {
            let text = format!(
                "featureGates: [flowControl]\n\
                 plugins: [{{name: turns, type: round-robin-fairness-policy}}]\n\
                 flowControl:\n  defaultPriorityBand: {{fairnessPolicyRef: turns}}\n  priorityBands: [{band}]\n"
            );
            takes_turns(&json!({"own.yaml": text}), "own.yaml")
        };
        assert_eq!(
            config("{priority: 1, fairnessPolicyRef: turns}"),
            Some(true)
        );
        assert_eq!(config("{priority: 1}"), Some(false));
        assert_eq!(takes_turns(&json!({"own.yaml": ""}), "other.yaml"), None);
    }

    #[test]
    fn flow_control_is_read_from_the_configuration_that_is_used() {
        let files = json!({
            "default-plugins.yaml": "kind: EndpointPickerConfig\n",
            "own.yaml": "kind: EndpointPickerConfig\nfeatureGates: [flowControl]\n",
        });
        let uses = |args: Value| {
            let pod = json!({"spec": {"containers": [{"args": args}]}});
            queues_by_priority(&files, &configuration(&pod)?)
        };
        assert_eq!(
            uses(json!(["--v", "1", "--config-file", "/config/own.yaml"])),
            Some(true)
        );
        assert_eq!(uses(json!(["--config-file=/config/own.yaml"])), Some(true));
        assert_eq!(
            uses(json!(["-config-file=default-plugins.yaml"])),
            Some(false)
        );
        assert_eq!(uses(json!(["--config-file", "/config/other.yaml"])), None);
        assert_eq!(uses(json!(["--v", "1"])), None);
    }
}
