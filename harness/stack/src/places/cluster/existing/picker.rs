//! Reads an existing endpoint picker: its pod, its metrics and its configuration.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, PodSpec, Service};
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
    /// Whether it scores prefixes, likewise.
    pub(super) prefix_affinity: Option<bool>,
    /// Its pods.
    pub(super) pods: Vec<Pod>,
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
    let Some(service) = cluster.read::<Service>(namespace, service).await? else {
        return Ok(Picker::default());
    };
    let labels = service.spec.and_then(|spec| spec.selector);
    let labels = selector(&labels.unwrap_or_default());
    let pods = cluster.read_all::<Pod>(namespace, &labels).await?;
    let Some(spec) = pods.first().and_then(|pod| pod.spec.as_ref()) else {
        return Ok(Picker::default());
    };
    let mut ports = spec
        .containers
        .iter()
        .flat_map(|container| container.ports.iter().flatten());
    let named = ports.find(|port| {
        let name = port.name.as_ref();
        name.is_some_and(|name| name.contains("metrics"))
    });
    let port = named.and_then(|port| u16::try_from(port.container_port).ok());
    let port = port.unwrap_or(EPP_METRICS_PORT);
    let url = forwards
        .add(cluster, namespace, To::Labelled(labels), port)
        .await?;
    let metrics: Url = format!("{url}/metrics").parse()?;
    // Authentication is on by default, and then metrics need a token.
    let readable = evidence::metrics(http, &metrics).await.is_ok();
    let (mut flow_control, mut fair_flows, mut prefix_affinity) = (None, None, None);
    if let Some(file) = configuration(spec) {
        let volumes = spec.volumes.iter().flatten();
        for source in volumes.filter_map(|volume| volume.config_map.as_ref()) {
            if let Ok(Some(config)) = cluster.read::<ConfigMap>(namespace, &source.name).await {
                let files = config.data.unwrap_or_default();
                flow_control = flow_control.or(queues_by_priority(&files, &file));
                fair_flows = fair_flows.or(takes_turns(&files, &file));
                prefix_affinity = prefix_affinity.or(scores_prefixes(&files, &file));
            }
        }
    }
    Ok(Picker {
        metrics: readable.then_some(metrics),
        flow_control,
        fair_flows,
        prefix_affinity,
        pods,
    })
}

/// The name of the picker's configuration file; GIE's chart mounts other files in the same folder.
fn configuration(pod: &PodSpec) -> Option<String> {
    let mut args = pod.containers.iter().flat_map(|container| {
        let (command, args) = (container.command.iter(), container.args.iter());
        command.chain(args).flatten()
    });
    let path = args.find_map(|arg| {
        let (name, value) = arg.split_once('=').unwrap_or((arg, ""));
        (name.trim_start_matches('-') == "config-file").then_some(value)
    })?;
    let path = if path.is_empty() { args.next()? } else { path };
    Some(Path::new(path).file_name()?.to_str()?.to_owned())
}

/// Whether the EndpointPickerConfig in the file of this name has the feature gate `flowControl`.
fn queues_by_priority(files: &BTreeMap<String, String>, name: &str) -> Option<bool> {
    let config: Value = serde_saphyr::from_str(files.get(name)?).ok()?;
    Some(list(&config["featureGates"]).any(|gate| gate == "flowControl"))
}

/// Whether the EndpointPickerConfig in the file of this name lets the flows of every priority take turns: each band has a
/// `round-robin-fairness-policy`.
fn takes_turns(files: &BTreeMap<String, String>, name: &str) -> Option<bool> {
    let config: Value = serde_saphyr::from_str(files.get(name)?).ok()?;
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

/// Whether a profile of that EndpointPickerConfig has the prefix-cache-scorer.
fn scores_prefixes(files: &BTreeMap<String, String>, name: &str) -> Option<bool> {
    let config: Value = serde_saphyr::from_str(files.get(name)?).ok()?;
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
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::kubernetes::api::labels;
    use serde_json::json;

    #[test]
    fn flows_take_turns_if_every_band_has_a_policy_of_that_type() {
        let config = |band: &str| {
            let text = format!(
                "featureGates: [flowControl]\n\
                 plugins: [{{name: turns, type: round-robin-fairness-policy}}]\n\
                 flowControl:\n  defaultPriorityBand: {{fairnessPolicyRef: turns}}\n  priorityBands: [{band}]\n"
            );
            takes_turns(&labels(&[("own.yaml", &text)]), "own.yaml")
        };
        assert_eq!(
            config("{priority: 1, fairnessPolicyRef: turns}"),
            Some(true)
        );
        assert_eq!(config("{priority: 1}"), Some(false));
        assert_eq!(
            takes_turns(&labels(&[("own.yaml", "")]), "other.yaml"),
            None
        );
    }

    #[test]
    fn flow_control_is_read_from_the_configuration_that_is_used() {
        let files = labels(&[
            ("default-plugins.yaml", "kind: EndpointPickerConfig\n"),
            (
                "own.yaml",
                "kind: EndpointPickerConfig\nfeatureGates: [flowControl]\n",
            ),
        ]);
        let uses = |args: Value| {
            let pod = json!({"containers": [{"name": "epp", "args": args}]});
            let pod = serde_json::from_value(pod).unwrap();
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
        let files = labels(&[
            ("with", &profile("prefix")),
            ("without", &profile("queue-scorer")),
        ]);
        assert_eq!(scores_prefixes(&files, "with"), Some(true));
        assert_eq!(scores_prefixes(&files, "without"), Some(false));
        assert_eq!(scores_prefixes(&files, "other"), None);
    }
}
