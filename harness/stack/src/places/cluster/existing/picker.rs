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
    let readable = evidence::get(http, &metrics).await.is_ok();
    let mut flow_control = None;
    if let Some(file) = configuration(spec) {
        let volumes = spec.volumes.iter().flatten();
        for source in volumes.filter_map(|volume| volume.config_map.as_ref()) {
            if let Ok(Some(config)) = cluster.read::<ConfigMap>(namespace, &source.name).await {
                let files = config.data.unwrap_or_default();
                flow_control = flow_control.or(queues_by_priority(&files, &file));
            }
        }
    }
    Ok(Picker {
        metrics: readable.then_some(metrics),
        flow_control,
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::kubernetes::api::labels;
    use serde_json::json;

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
}
