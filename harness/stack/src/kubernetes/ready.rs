//! Waits for conditions of cluster objects.
//!
//! `kube::runtime::wait::await_condition` watches one object. The waits here need more: pods beside their Deployment,
//! several objects, answers of other servers, and on a timeout a message about what was missing.

use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Result, bail};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::ResourceExt;
use serde::Deserialize;
use serde_json::Value;

use super::cluster::{Cluster, selector};
use poolproof_client::lock::lock;
use poolproof_client::poll;

const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// Pulling images or other work can keep a node busy for long.
pub(crate) const PODS_TIMEOUT: Duration = Duration::from_secs(180);
/// The timeout for the conditions of an object.
pub(crate) const CONDITIONS_TIMEOUT: Duration = Duration::from_secs(60);

/// The kubelet's reasons why an image's container can never start.
pub(crate) const HOPELESS: [&str; 5] = [
    "ErrImagePull",
    "ImagePullBackOff",
    "ErrImageNeverPull",
    "InvalidImageName",
    "CreateContainerConfigError",
];

/// The result of one poll.
pub(crate) enum State {
    Ready,
    /// What is missing, in words.
    NotYet(String),
}

/// Polls `look` until it returns ready. Fails when `look` fails, or after `timeout` with what was missing last.
pub(crate) async fn wait<'a>(
    what: &str,
    timeout: Duration,
    look: &(dyn Fn() -> BoxFuture<'a, Result<State>> + Sync),
) -> Result<()> {
    let missing = Mutex::new("no answer".to_owned());
    let looked = poll::until(what, timeout, POLL_INTERVAL, || async {
        match look().await {
            Ok(State::Ready) => Some(Ok(())),
            Ok(State::NotYet(now)) => {
                *lock(&missing) = now;
                None
            }
            Err(error) => Some(Err(error)),
        }
    });
    looked.await.unwrap_or_else(|_| {
        let missing = lock(&missing);
        bail!("{what}: not ready within {timeout:?}: {missing}")
    })
}

/// The fields that a Deployment and a StatefulSet (apps/v1) have in common, as far as they are read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Workload {
    metadata: Generation,
    spec: Wanted,
    #[serde(default)]
    status: Counted,
}

#[derive(Deserialize)]
struct Generation {
    #[serde(default)]
    generation: i64,
}

#[derive(Deserialize)]
struct Wanted {
    #[serde(default)]
    replicas: i32,
    selector: LabelSelector,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Counted {
    observed_generation: i64,
    replicas: i32,
    ready_replicas: i32,
    updated_replicas: i32,
}

/// Whether all pods of a Deployment or StatefulSet are ready at its newest revision. Fails if one of them can never be
/// ready.
pub(crate) async fn workload(
    cluster: &Cluster,
    kind: &str,
    namespace: &str,
    name: &str,
) -> Result<State> {
    let Some(object) = cluster.get("apps/v1", kind, namespace, name).await? else {
        return Ok(State::NotYet(format!("there is no {kind} {name}")));
    };
    let Workload {
        metadata,
        spec,
        status,
    } = serde_json::from_value(object)?;
    let (wanted, ready) = (spec.replicas, status.ready_replicas);
    let current = status.observed_generation >= metadata.generation
        && status.updated_replicas >= wanted
        && status.replicas == wanted;
    if current && ready == wanted {
        return Ok(State::Ready);
    }
    let labels = selector(&spec.selector.match_labels.unwrap_or_default());
    for pod in cluster.read_all::<Pod>(namespace, &labels).await? {
        if let Some((reason, message)) = waiting(&pod)
            && HOPELESS.contains(&reason)
        {
            let pod = pod.name_any();
            bail!("pod {namespace}/{pod} cannot start: {reason}: {message}");
        }
    }
    Ok(State::NotYet(format!("{ready} of {wanted} pods are ready")))
}

/// Waits until all pods of a Deployment or StatefulSet are ready.
pub(crate) async fn pods(cluster: &Cluster, kind: &str, namespace: &str, name: &str) -> Result<()> {
    let ready = || workload(cluster, kind, namespace, name).boxed();
    wait(&format!("{kind} {namespace}/{name}"), PODS_TIMEOUT, &ready).await
}

/// Waits until all these conditions, at a path of an object, are true.
pub(crate) async fn accepted(
    cluster: &Cluster,
    (api_version, kind): (&str, &str),
    (namespace, name): (&str, &str),
    (path, wanted): (&str, &[&str]),
) -> Result<()> {
    let what = format!("{kind} {namespace}/{name}");
    let all_true = || {
        async {
            let object = cluster.get(api_version, kind, namespace, name).await?;
            Ok(conditions(object.as_ref(), path, wanted))
        }
        .boxed()
    };
    wait(&what, CONDITIONS_TIMEOUT, &all_true).await
}

/// Why a container of a pod is waiting, in the kubelet's words.
pub(crate) fn waiting(pod: &Pod) -> Option<(&str, &str)> {
    let containers = pod.status.as_ref()?.container_statuses.as_ref()?;
    let mut states = containers.iter().filter_map(|status| status.state.as_ref());
    let waiting = states.find_map(|state| state.waiting.as_ref())?;
    let message = waiting.message.as_deref().unwrap_or_default();
    Some((waiting.reason.as_deref()?, message))
}

/// Whether a pod is ready.
pub(crate) fn is_ready(pod: &Pod) -> bool {
    let conditions = pod
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Whether all conditions of these types at `path` of an object are true.
pub(crate) fn conditions(object: Option<&Value>, path: &str, wanted: &[&str]) -> State {
    let conditions = object.and_then(|object| object.pointer(path)?.as_array());
    let Some(conditions) = conditions else {
        return State::NotYet("it has no conditions".to_owned());
    };
    for wanted in wanted {
        let condition = conditions
            .iter()
            .find(|condition| condition["type"] == *wanted);
        match condition {
            Some(condition) if condition["status"] == "True" => {}
            Some(condition) => {
                let text = |field: &str| condition[field].as_str().unwrap_or_default();
                return State::NotYet(format!(
                    "{wanted} is {}: {}: {}",
                    text("status"),
                    text("reason"),
                    text("message")
                ));
            }
            None => return State::NotYet(format!("it has no condition {wanted}")),
        }
    }
    State::Ready
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_condition_that_is_false_is_quoted() {
        let object = json!({"status": {"parents": [{"conditions": [
            {"type": "Accepted", "status": "True"},
            {"type": "ResolvedRefs", "status": "False", "reason": "BackendNotFound", "message": "no pool"},
        ]}]}});
        let path = "/status/parents/0/conditions";
        let state = conditions(Some(&object), path, &["Accepted", "ResolvedRefs"]);
        assert!(
            matches!(&state, State::NotYet(it) if it == "ResolvedRefs is False: BackendNotFound: no pool")
        );
        assert!(matches!(
            conditions(Some(&object), path, &["Accepted"]),
            State::Ready
        ));
        assert!(matches!(
            conditions(None, path, &["Accepted"]),
            State::NotYet(_)
        ));
    }
}
