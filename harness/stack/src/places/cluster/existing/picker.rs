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
    /// Whether it scores prefixes, likewise.
    pub(super) prefix_affinity: Option<bool>,
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
    let (mut flow_control, mut prefix_affinity) = (None, None);
    if let Some(file) = configuration(pod) {
        let volumes = list(&pod["spec"]["volumes"]);
        for name in volumes.filter_map(|volume| volume["configMap"]["name"].as_str()) {
            if let Ok(Some(config)) = cluster.get("v1", "ConfigMap", namespace, name).await {
                flow_control = flow_control.or(queues_by_priority(&config["data"], &file));
                prefix_affinity = prefix_affinity.or(scores_prefixes(&config["data"], &file));
            }
        }
    }
    Ok(Picker {
        metrics: readable.then_some(metrics),
        flow_control,
        prefix_affinity,
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

/// Whether a profile of that EndpointPickerConfig has the prefix-cache-scorer.
fn scores_prefixes(files: &Value, name: &str) -> Option<bool> {
    let config: Value = serde_saphyr::from_str(files[name].as_str()?).ok()?;
    let scorers = list(&config["plugins"]).filter(|plugin| plugin["type"] == "prefix-cache-scorer");
    let named = |plugin: &Value| plugin.get("name").or(plugin.get("type")).cloned();
    let mut names = scorers.filter_map(named);
    let profiles: Vec<&Value> = list(&config["schedulingProfiles"]).collect();
    Some(names.any(|name| {
        let mut refs = profiles
            .iter()
            .flat_map(|profile| list(&profile["plugins"]));
        refs.any(|plugin| plugin["pluginRef"] == name)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

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

    #[test]
    fn prefixes_are_scored_if_a_profile_has_the_scorer() {
        let plugins =
            "plugins: [{type: prefix-cache-scorer, name: prefix}, {type: queue-scorer}]\n";
        let profile = |name: &str| {
            format!(
                "{plugins}schedulingProfiles: [{{name: default, plugins: [{{pluginRef: {name}}}]}}]\n"
            )
        };
        let files = json!({"with": profile("prefix"), "without": profile("queue-scorer")});
        assert_eq!(scores_prefixes(&files, "with"), Some(true));
        assert_eq!(scores_prefixes(&files, "without"), Some(false));
        assert_eq!(scores_prefixes(&files, "other"), None);
    }
}
