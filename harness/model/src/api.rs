//! The APIs of an OpenAI-compatible server that requests are made to.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The API that a request is made to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Api {
    /// `/v1/completions`
    Completions,
    /// `/v1/chat/completions`
    #[default]
    Chat,
}

impl Api {
    /// The path that its requests are sent to.
    pub fn path(self) -> &'static str {
        match self {
            Self::Completions => "/v1/completions",
            Self::Chat => "/v1/chat/completions",
        }
    }
}
