//! The components of a running stack and the steps of its start, as stored in records.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A component of a running stack, as detected.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Component {
    /// The role: gateway, epp, model-server, kube-api, body-based-router.
    pub role: String,
    /// The product and its version.
    pub version: String,
}

impl Component {
    /// A component of this role and version.
    pub fn new(role: &str, version: impl Into<String>) -> Self {
        Self {
            role: role.to_owned(),
            version: version.into(),
        }
    }
}

/// One step of a start, and its duration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Step {
    /// The name of the step.
    pub name: String,
    /// The duration in milliseconds.
    pub took_ms: u64,
}
