//! The APIs of an inference server.

use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The API of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Api {
    /// `/v1/completions`
    Completions,
    /// `/v1/chat/completions`
    #[default]
    Chat,
    /// `/v1/responses` of OpenAI
    Responses,
    /// `/v1/messages` of Anthropic
    Messages,
}

impl Api {
    /// All APIs.
    pub const ALL: [Self; 4] = [
        Self::Completions,
        Self::Chat,
        Self::Responses,
        Self::Messages,
    ];

    /// The name in workload files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Completions => "completions",
            Self::Chat => "chat",
            Self::Responses => "responses",
            Self::Messages => "messages",
        }
    }

    /// The request path.
    pub fn path(self) -> &'static str {
        match self {
            Self::Completions => "/v1/completions",
            Self::Chat => "/v1/chat/completions",
            Self::Responses => "/v1/responses",
            Self::Messages => "/v1/messages",
        }
    }

    /// Whether an answer ends with a finish reason of each choice and a stream with `[DONE]`: OpenAI's APIs before Responses.
    pub fn has_choices(self) -> bool {
        matches!(self, Self::Completions | Self::Chat)
    }

    /// Whether a request carries a conversation.
    pub fn converses(self) -> bool {
        matches!(self, Self::Chat | Self::Responses | Self::Messages)
    }
}

impl FromStr for Api {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|api| api.name() == name);
        known.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("must be one of {names}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_api_is_read_by_the_name_that_it_is_written_with() {
        for api in Api::ALL {
            assert_eq!(api.name().parse(), Ok(api));
            assert_eq!(serde_json::to_value(api).ok(), Some(api.name().into()));
        }
        assert!(
            "chats"
                .parse::<Api>()
                .is_err_and(|why| why.contains("responses"))
        );
    }
}
