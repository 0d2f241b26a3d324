//! Changes of a running stack: stop, remove or start a part, set weights and priorities. A case requests them over HTTP
//! at the address in the target. Stacks of poolproof serve that address; operators of other stacks can serve it too.
//!
//! Each change is one `POST` with a [`Change`] as JSON. The answer has a status of 200 to 299 once the part is in the
//! requested state: gone, or serving again. When traffic follows is for cases to measure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use anyhow::{Context, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::routed::Routed;
use crate::target::Target;

/// Where changes are requested, and which kinds are available.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Changes {
    /// The address that accepts them.
    pub url: Url,
    /// The available kinds.
    pub kinds: BTreeSet<Kind>,
}

/// What can be changed.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Whether an endpoint picker runs.
    Picker,
    /// Whether an endpoint runs.
    Endpoint,
    /// Whether an endpoint belongs to its pool.
    Member,
    /// The weights of the pools of a model.
    Weights,
    /// How requests are treated while the endpoint picker of their pool is down.
    FailureMode,
    /// The priorities of objectives.
    Objective,
    /// Whether an endpoint ends, as a pod does that is deleted with a grace period.
    Terminate,
    /// Whether an endpoint is ready.
    Ready,
    /// Whether an endpoint is at another address than in the target.
    Moved,
    /// Whether the port of an endpoint is one of its pool.
    Ports,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 10] = [
        Self::Picker,
        Self::Endpoint,
        Self::Member,
        Self::Weights,
        Self::FailureMode,
        Self::Objective,
        Self::Terminate,
        Self::Ready,
        Self::Moved,
        Self::Ports,
    ];
}

/// The requested state of a part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Change {
    /// Starts or stops the endpoint picker of a pool.
    Picker {
        /// The pool.
        pool: String,
        /// Whether it runs.
        running: bool,
    },
    /// Starts an endpoint, or kills it with all requests in progress. A killed endpoint may restart by itself.
    Endpoint {
        /// The endpoint.
        endpoint: String,
        /// Whether it runs.
        running: bool,
    },
    /// Adds an endpoint to its pool, or removes it. A removed endpoint finishes its requests.
    Member {
        /// The endpoint.
        endpoint: String,
        /// Whether it belongs to its pool.
        member: bool,
    },
    /// Sets the weights of the pools of a model.
    Weights {
        /// The model.
        model: String,
        /// The weight of each of its pools, by name.
        weights: BTreeMap<String, u32>,
    },
    /// Makes a pool fail open or closed. A pool that fails open uses any of its endpoints while its endpoint picker is
    /// down. The default is to fail closed.
    FailureMode {
        /// The pool.
        pool: String,
        /// Whether it fails open.
        open: bool,
    },
    /// Sets the priority of an InferenceObjective in each pool that has it.
    Objective {
        /// The objective.
        objective: String,
        /// Its priority; higher goes first.
        priority: i32,
    },
    /// Ends an endpoint with a grace period, as Kubernetes ends a pod that is deleted, or starts it again. Its pool loses
    /// it first. Then it takes no new connection, finishes the requests in progress, and is gone when they are done. The
    /// change is made once it is gone, or serves again.
    Terminate {
        /// The endpoint.
        endpoint: String,
        /// Whether it runs.
        running: bool,
    },
    /// Sets the `Ready` condition of an endpoint. An endpoint that is not ready runs on, and finishes its requests.
    Ready {
        /// The endpoint.
        endpoint: String,
        /// Whether it is ready.
        ready: bool,
    },
    /// Replaces an endpoint by one of the same name at another address, or by one at its address in the target. Requests
    /// in progress break off. Nothing answers at the address that it has left.
    Moved {
        /// The endpoint.
        endpoint: String,
        /// Whether it is at another address than in the target.
        moved: bool,
    },
    /// Takes the port of an endpoint out of those of its pool (`targetPorts` of an InferencePool), or puts it back. For pools
    /// whose endpoints have a port each. The endpoint runs on, and finishes its requests.
    Ports {
        /// The endpoint.
        endpoint: String,
        /// Whether its port is one of the pool.
        open: bool,
    },
}

impl Change {
    /// The change that restores the part to its state in the target.
    pub fn undone(&self, target: &Target) -> Result<Self> {
        let mut undone = self.clone();
        match &mut undone {
            Self::Picker { running, .. }
            | Self::Endpoint { running, .. }
            | Self::Terminate { running, .. } => *running = true,
            Self::Ready { ready, .. } => *ready = true,
            Self::Moved { moved, .. } => *moved = false,
            Self::Ports { open, .. } => *open = true,
            Self::Member { member, .. } => *member = true,
            Self::Weights { model, weights } => {
                let known = target.models.iter().find(|known| known.name == *model);
                let known = known.with_context(|| format!("the target has no model {model:?}"))?;
                *weights = known.weights();
            }
            Self::FailureMode { open, .. } => *open = false,
            Self::Objective {
                objective,
                priority,
            } => {
                let known = target.objectives.get(objective);
                *priority =
                    *known.with_context(|| format!("the target has no objective {objective:?}"))?;
            }
        }
        Ok(undone)
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let runs = |running: bool| if running { "runs" } else { "is down" };
        match self {
            Self::Picker { pool, running } => {
                write!(f, "the endpoint picker of pool {pool} {}", runs(*running))
            }
            Self::Endpoint { endpoint, running } => {
                write!(f, "endpoint {endpoint} {}", runs(*running))
            }
            Self::Member { endpoint, member } => {
                let belongs = if *member {
                    "belongs"
                } else {
                    "does not belong"
                };
                write!(f, "endpoint {endpoint} {belongs} to its pool")
            }
            Self::Weights { model, weights } => {
                let weights: Vec<String> = weights
                    .iter()
                    .map(|(pool, weight)| format!("{pool} {weight}"))
                    .collect();
                write!(f, "model {model} is split {}", weights.join(", "))
            }
            Self::FailureMode { pool, open } => {
                write!(
                    f,
                    "pool {pool} fails {}",
                    if *open { "open" } else { "closed" }
                )
            }
            Self::Objective {
                objective,
                priority,
            } => write!(f, "objective {objective} has priority {priority}"),
            Self::Terminate { endpoint, running } => {
                let ends = if *running {
                    "runs"
                } else {
                    "has ended after a grace period"
                };
                write!(f, "endpoint {endpoint} {ends}")
            }
            Self::Ready { endpoint, ready } => {
                let is = if *ready { "is" } else { "is not" };
                write!(f, "endpoint {endpoint} {is} ready")
            }
            Self::Moved { endpoint, moved } => {
                let place = if *moved {
                    "another address"
                } else {
                    "its address"
                };
                write!(f, "endpoint {endpoint} is at {place}")
            }
            Self::Ports { endpoint, open } => {
                let is = if *open { "is" } else { "is not" };
                write!(f, "the port of endpoint {endpoint} {is} one of its pool")
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::topology::Topology;

    #[test]
    fn a_change_is_plain_json_and_can_be_undone() {
        let target = Target::planned(&Topology::default()).unwrap();
        let text = r#"{"change": "picker", "pool": "model-a", "running": false}"#;
        let down: Change = serde_json::from_str(text).unwrap();
        assert_eq!(
            down.to_string(),
            "the endpoint picker of pool model-a is down"
        );
        let up = down.undone(&target).unwrap();
        assert_eq!(up.to_string(), "the endpoint picker of pool model-a runs");

        let text =
            r#"{"change": "weights", "model": "model-b", "weights": {"model-b-canary": 100}}"#;
        let moved: Change = serde_json::from_str(text).unwrap();
        let back = moved.undone(&target).unwrap();
        assert!(back.to_string().contains("model-b-canary 10,"), "{back}");

        let text = r#"{"change": "objective", "objective": "batch", "priority": 20}"#;
        let raised: Change = serde_json::from_str(text).unwrap();
        let back = raised.undone(&target).unwrap();
        assert_eq!(back.to_string(), "objective batch has priority -10");

        for (text, back) in [
            (
                r#"{"change": "terminate", "endpoint": "model-a-0", "running": false}"#,
                "endpoint model-a-0 runs",
            ),
            (
                r#"{"change": "ready", "endpoint": "model-a-0", "ready": false}"#,
                "endpoint model-a-0 is ready",
            ),
            (
                r#"{"change": "moved", "endpoint": "model-a-0", "moved": true}"#,
                "endpoint model-a-0 is at its address",
            ),
            (
                r#"{"change": "ports", "endpoint": "model-a-0", "open": false}"#,
                "the port of endpoint model-a-0 is one of its pool",
            ),
        ] {
            let made: Change = serde_json::from_str(text).unwrap();
            assert_eq!(made.undone(&target).unwrap().to_string(), back);
        }
        assert!(serde_json::from_str::<Change>(r#"{"change": "colour"}"#).is_err());
    }
}
