//! The workers of a load run as pods of an Indexed Job, reached through the cluster's API. Workers get their work that
//! way too, so only the Job needs removing.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use futures_util::FutureExt;
use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{
    Capabilities, Container, Pod, PodSecurityContext, PodSpec, ResourceRequirements, SeccompProfile,
    SecurityContext, TopologySpreadConstraint,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::ResourceExt;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::kubernetes::api::{labels, metadata, selects, template, value};
use crate::kubernetes::ready::{HOPELESS, PODS_TIMEOUT, State, wait, waiting};
use crate::kubernetes::{Forward, Pods, To, diagnose};
use crate::worker::{self, Worker};
use poolproof_client as client;
use poolproof_client::evidence;

/// The port of a worker. It listens on its pod's loopback only: anyone else in the cluster who could connect could make
/// it send traffic.
const PORT: u16 = 9911;
/// The time from a running container to a listening worker.
const LISTENS_TIMEOUT: Duration = Duration::from_secs(30);
/// The time after which the cluster removes a finished Job whose coordinator was killed, counted from when its workers
/// give up.
const KEPT_FINISHED_S: i32 = 60;
/// Any user but root.
const USER: i64 = 65532;
/// The label of a Job's pods, and the annotation with the index of each (batch/v1, Kubernetes 1.27 and later).
const JOB_LABEL: &str = "batch.kubernetes.io/job-name";
const INDEX: &str = "batch.kubernetes.io/job-completion-index";

/// A Job whose pods are workers.
pub(crate) struct LoadJob {
    inside: Pods,
    name: String,
    /// The name of each pod, by index.
    pods: Vec<String>,
    _forwards: Vec<Forward>,
}

/// A new name for a Job: several may run in one cluster.
pub(crate) fn new_name() -> String {
    format!("poolproof-load-{:08x}", rand::random::<u32>())
}

/// The Job.
pub(crate) fn manifest(name: &str, namespace: &str, image: &str, count: usize) -> Value {
    let count = i32::try_from(count).unwrap_or(i32::MAX);
    let worker = Container {
        name: "worker".to_owned(),
        image: Some(image.to_owned()),
        image_pull_policy: Some("IfNotPresent".to_owned()),
        // A pod without a CPU request gets CPU last on a busy node, and sends late.
        resources: Some(ResourceRequirements {
            requests: Some([("cpu".to_owned(), Quantity("250m".to_owned()))].into()),
            ..ResourceRequirements::default()
        }),
        args: Some(vec![
            "serve".to_owned(),
            "worker".to_owned(),
            "--listen".to_owned(),
            format!("127.0.0.1:{PORT}"),
        ]),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            capabilities: Some(Capabilities {
                drop: Some(vec!["ALL".to_owned()]),
                ..Capabilities::default()
            }),
            ..SecurityContext::default()
        }),
        ..Container::default()
    };
    // With the container's, what Pod Security Standards ask for at the level `restricted`.
    let security_context = PodSecurityContext {
        run_as_non_root: Some(true),
        run_as_user: Some(USER),
        seccomp_profile: Some(SeccompProfile {
            type_: "RuntimeDefault".to_owned(),
            ..SeccompProfile::default()
        }),
        ..PodSecurityContext::default()
    };
    let pod = PodSpec {
        restart_policy: Some("Never".to_owned()),
        security_context: Some(security_context),
        automount_service_account_token: Some(false),
        termination_grace_period_seconds: Some(5),
        // Spread over all nodes: workers on one node share its processors.
        topology_spread_constraints: Some(vec![TopologySpreadConstraint {
            max_skew: 1,
            topology_key: "kubernetes.io/hostname".to_owned(),
            when_unsatisfiable: "ScheduleAnyway".to_owned(),
            label_selector: Some(selects(name)),
            ..TopologySpreadConstraint::default()
        }]),
        containers: vec![worker],
        ..PodSpec::default()
    };
    value(Job {
        metadata: metadata(name, namespace),
        spec: Some(JobSpec {
            completion_mode: Some("Indexed".to_owned()),
            completions: Some(count),
            parallelism: Some(count),
            // A failed worker is not replaced: its part of the run is lost, and the others continue. Clusters before
            // 1.29 lack this field and start a new pod, which gets no work and ends by itself.
            backoff_limit_per_index: Some(0),
            ttl_seconds_after_finished: Some(KEPT_FINISHED_S),
            template: template(labels(&[("app", name)]), pod),
            ..JobSpec::default()
        }),
        ..Job::default()
    })
}

impl LoadJob {
    /// Creates the Job, and waits until all its workers listen or `stop` is cancelled. On failure the Job is removed,
    /// and the error includes a diagnosis of the cluster.
    pub(crate) async fn start(
        inside: &Pods,
        count: usize,
        stop: &CancellationToken,
    ) -> Result<(Self, Vec<Worker>)> {
        let mut job = Self {
            inside: inside.clone(),
            name: new_name(),
            pods: Vec::new(),
            _forwards: Vec::new(),
        };
        let listening = tokio::select! {
            listening = job.listening(count) => listening,
            () = stop.cancelled() => Err(anyhow!("interrupted")),
        };
        match listening {
            Ok(list) => Ok((job, list)),
            Err(error) if stop.is_cancelled() => {
                job.stop().await;
                Err(error)
            }
            Err(error) => {
                let namespaces = [inside.namespace.as_str()];
                let diagnosis = diagnose::diagnose(&inside.cluster, &namespaces).await;
                job.stop().await;
                Err(match diagnosis.as_slice() {
                    [] => error,
                    _ => anyhow!("{error:#}\n  {}", diagnosis.join("\n  ")),
                })
            }
        }
    }

    async fn listening(&mut self, count: usize) -> Result<Vec<Worker>> {
        let (cluster, namespace) = (&self.inside.cluster, self.inside.namespace.as_str());
        let job = manifest(&self.name, namespace, &self.inside.image, count);
        cluster.apply(&job).await?;
        let what = format!("Job {namespace}/{}", self.name);
        let job = &*self;
        let all_run = || {
            async {
                let running = job.running().await?.len();
                Ok(if running >= count {
                    State::Ready
                } else {
                    State::NotYet(format!("{running} of {count} pods run"))
                })
            }
            .boxed()
        };
        wait(&what, PODS_TIMEOUT, &all_run).await?;
        let mut list = Vec::new();
        let http = client::http(0)?;
        for (index, (name, node)) in self.running().await? {
            let to = To::Pod(name.clone());
            let forward = Forward::start(cluster, namespace, to, PORT).await?;
            let url: Url = format!("http://{}/", forward.address).parse()?;
            let clock = url.join("clock")?;
            let listens = || {
                async {
                    Ok(match evidence::get(&http, &clock).await {
                        Ok(_) => State::Ready,
                        Err(error) => State::NotYet(format!("{error:#}")),
                    })
                }
                .boxed()
            };
            let what = format!("pod {namespace}/{name}");
            wait(&what, LISTENS_TIMEOUT, &listens).await?;
            self._forwards.push(forward);
            list.push(Worker {
                name: worker::name(index),
                place: format!("pod {name} on node {node}"),
                url,
            });
            self.pods.push(name);
        }
        Ok(list)
    }

    /// The running pods with their nodes, by index. Fails if one of them can never run.
    async fn running(&self) -> Result<BTreeMap<usize, (String, String)>> {
        let mut running = BTreeMap::new();
        for pod in self.list().await? {
            let name = pod.name_any();
            if let Some((reason, message)) = waiting(&pod)
                && HOPELESS.contains(&reason)
            {
                anyhow::bail!("pod {name} cannot start: {reason}: {message}");
            }
            if let Some(end) = ended(&pod) {
                anyhow::bail!("pod {name} ended before it got any work: {end}");
            }
            let status = pod.status.as_ref();
            if status.and_then(|status| status.phase.as_deref()) == Some("Running") {
                let index = pod.annotations().get(INDEX);
                let index = index.and_then(|index| index.parse().ok());
                let index = index.with_context(|| format!("pod {name} has no index"))?;
                let node = pod.spec.and_then(|spec| spec.node_name);
                running.insert(index, (name, node.unwrap_or_default()));
            }
        }
        Ok(running)
    }

    async fn list(&self) -> Result<Vec<Pod>> {
        let labels = format!("{JOB_LABEL}={}", self.name);
        let Pods {
            cluster, namespace, ..
        } = &self.inside;
        cluster.read_all(namespace, &labels).await
    }

    /// How a worker's pod has ended, if it has.
    pub(crate) async fn gone(&self, index: usize) -> Option<String> {
        let name = self.pods.get(index)?;
        let namespace = &self.inside.namespace;
        match self.inside.cluster.read(namespace, name).await {
            Ok(Some(pod)) => ended(&pod),
            Ok(None) => Some("its pod was removed".to_owned()),
            // Unknown; the worker itself answers or does not.
            Err(_) => None,
        }
    }

    /// Deletes the Job, and waits until its pods are gone.
    pub(crate) async fn stop(self) {
        if let Err(error) = self.remove().await {
            tracing::error!("removing Job {}: {error:#}", self.name);
        }
    }

    async fn remove(&self) -> Result<()> {
        let job = ("batch/v1", "Job");
        let Pods {
            cluster, namespace, ..
        } = &self.inside;
        cluster.delete(job, namespace, &self.name).await?;
        let removed = || {
            async {
                Ok(match self.list().await?.len() {
                    0 => State::Ready,
                    left => State::NotYet(format!("{left} are still there")),
                })
            }
            .boxed()
        };
        wait("removal of its pods", PODS_TIMEOUT, &removed).await
    }
}

/// How a pod has ended, as its kubelet reports it.
fn ended(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let phase = status.phase.as_deref().unwrap_or_default();
    let containers = status.container_statuses.iter().flatten();
    let state = containers.map(|container| container.state.as_ref()).next();
    let terminated = state.flatten().and_then(|state| state.terminated.as_ref());
    if !matches!(phase, "Failed" | "Succeeded") && terminated.is_none() {
        return None;
    }
    let mut parts = vec![format!("its pod {}", phase.to_lowercase())];
    parts.extend(status.reason.clone());
    parts.extend(status.message.clone());
    if let Some(terminated) = terminated {
        parts.extend(terminated.reason.clone());
        parts.push(format!("exit code {}", terminated.exit_code));
    }
    parts.retain(|part| !part.is_empty());
    Some(parts.join(", "))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_an_ended_pod_has_an_end() {
        let pod = |status: Value| serde_json::from_value::<Pod>(json!({"status": status})).unwrap();
        let state = |state: Value| json!([{"state": state}]);
        let running =
            json!({"phase": "Running", "containerStatuses": state(json!({"running": {}}))});
        assert_eq!(ended(&pod(running)), None);
        assert_eq!(ended(&pod(json!({"phase": "Pending"}))), None);
        let terminated = state(json!({"terminated": {"reason": "OOMKilled", "exitCode": 137}}));
        assert_eq!(
            ended(&pod(
                json!({"phase": "Failed", "containerStatuses": terminated})
            )),
            Some("its pod failed, OOMKilled, exit code 137".to_owned())
        );
        let evicted =
            json!({"phase": "Failed", "reason": "Evicted", "message": "node was low on memory"});
        assert_eq!(
            ended(&pod(evicted)),
            Some("its pod failed, Evicted, node was low on memory".to_owned())
        );
    }

    #[test]
    fn a_job_has_a_pod_for_each_worker_and_replaces_none() {
        let job = manifest("poolproof-load-1", "ns", "poolproof:latest", 5);
        let spec = &job["spec"];
        assert_eq!(
            (&spec["completions"], &spec["parallelism"]),
            (&json!(5), &json!(5))
        );
        assert_eq!(spec["completionMode"], "Indexed");
        assert_eq!(spec["backoffLimitPerIndex"], 0);
        // Kubernetes accepts `backoffLimitPerIndex` only with this policy.
        assert_eq!(spec["template"]["spec"]["restartPolicy"], "Never");
    }
}
