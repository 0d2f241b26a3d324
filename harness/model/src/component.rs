//! What a running stack consists of and how its start went, as records keep it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A part of a running stack, as found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Component {
    /// Its role: gateway, epp, model-server, kube-api, body-based-router.
    pub role: String,
    /// What it is, with its version.
    pub version: String,
}

impl Component {
    /// A part of this role and version.
    pub fn new(role: &str, version: impl Into<String>) -> Self {
        Self {
            role: role.to_owned(),
            version: version.into(),
        }
    }
}

/// One step of a start, and how long it took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Step {
    /// What was done.
    pub name: String,
    /// Time that it took, in milliseconds.
    pub took_ms: u64,
}
