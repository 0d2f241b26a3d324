//! Waits for conditions of cluster objects.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::Value;

use super::cluster::{Cluster, selector, text};

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
pub(crate) async fn wait<F>(what: &str, timeout: Duration, look: impl Fn() -> F) -> Result<()>
where
    F: Future<Output = Result<State>>,
{
    let deadline = Instant::now() + timeout;
    loop {
        let missing = match look().await? {
            State::Ready => return Ok(()),
            State::NotYet(missing) => missing,
        };
        if Instant::now() > deadline {
            bail!("{what}: not ready within {timeout:?}: {missing}");
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
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
    let number = |path: &str| object.pointer(path).and_then(Value::as_u64).unwrap_or(0);
    let (wanted, ready) = (number("/spec/replicas"), number("/status/readyReplicas"));
    let current = number("/status/observedGeneration") >= number("/metadata/generation")
        && number("/status/updatedReplicas") >= wanted
        && number("/status/replicas") == wanted;
    if current && ready == wanted {
        return Ok(State::Ready);
    }
    let labels = selector(&object["spec"]["selector"]["matchLabels"]);
    for pod in cluster.list("v1", "Pod", namespace, &labels).await? {
        if let Some((reason, message)) = waiting(&pod)
            && HOPELESS.contains(&reason)
        {
            let pod = text(&pod, "/metadata/name");
            bail!("pod {namespace}/{pod} cannot start: {reason}: {message}");
        }
    }
    Ok(State::NotYet(format!("{ready} of {wanted} pods are ready")))
}

/// Waits until all pods of a Deployment or StatefulSet are ready.
pub(crate) async fn pods(cluster: &Cluster, kind: &str, namespace: &str, name: &str) -> Result<()> {
    wait(&format!("{kind} {namespace}/{name}"), PODS_TIMEOUT, || {
        workload(cluster, kind, namespace, name)
    })
    .await
}

/// Waits until all these conditions, at a path of an object, are true.
pub(crate) async fn accepted(
    cluster: &Cluster,
    (api_version, kind): (&str, &str),
    (namespace, name): (&str, &str),
    (path, wanted): (&str, &[&str]),
) -> Result<()> {
    let what = format!("{kind} {namespace}/{name}");
    wait(&what, CONDITIONS_TIMEOUT, || async {
        let object = cluster.get(api_version, kind, namespace, name).await?;
        Ok(conditions(object.as_ref(), path, wanted))
    })
    .await
}

/// Why a container of a pod is waiting, in the kubelet's words.
pub(crate) fn waiting(pod: &Value) -> Option<(&str, &str)> {
    let containers = pod["status"]["containerStatuses"].as_array()?;
    let waiting = containers
        .iter()
        .find_map(|status| status["state"].get("waiting"))?;
    let message = waiting["message"].as_str().unwrap_or_default();
    Some((waiting["reason"].as_str()?, message))
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
