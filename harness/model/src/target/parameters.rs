//! Parameters of request bodies that servers name differently or refuse.

use anyhow::{Result, bail, ensure};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The parameter that limits the length of an answer.
const MAX_TOKENS: &str = "max_tokens";
const IGNORE_EOS: &str = "ignore_eos";
const STREAM_OPTIONS: &str = "stream_options";

/// How request bodies differ from the default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// The name of `max_tokens`, such as `max_completion_tokens`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<String>,
    /// Whether `ignore_eos` is sent. OpenAI refuses it; without it, answers may be shorter than asked for. [default: true]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ignore_eos: Option<bool>,
    /// Whether `stream_options` is sent with streams. Without it, most servers send no usage. [default: true]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_options: Option<bool>,
    /// Other keys that the servers refuse, such as `seed` or `user`: they are left out of every body.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub omit: Vec<String>,
    /// Further keys of every body, such as `temperature`. A key that a body has already stays as it is.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub more: Map<String, Value>,
}

impl Parameters {
    /// Whether bodies stay as they are.
    pub fn are_default(&self) -> bool {
        *self == Self::default()
    }

    /// These parameters, and those of `base` where these leave them open.
    pub fn over(&self, base: &Self) -> Self {
        let mut more = base.more.clone();
        more.extend(self.more.clone());
        let mut omit = base.omit.clone();
        omit.extend(self.omit.clone());
        Self {
            max_tokens: self.max_tokens.clone().or_else(|| base.max_tokens.clone()),
            ignore_eos: self.ignore_eos.or(base.ignore_eos),
            stream_options: self.stream_options.or(base.stream_options),
            omit,
            more,
        }
    }

    /// The name of the parameter that limits the length of an answer.
    pub fn max_tokens(&self) -> &str {
        self.max_tokens.as_deref().unwrap_or(MAX_TOKENS)
    }

    /// Fails if one of them would set what poolproof sets itself.
    pub fn check(&self) -> Result<()> {
        let is_own = |key: &str| {
            let own = ["model", "messages", "prompt", "stream", MAX_TOKENS];
            own.contains(&key) || key == self.max_tokens()
        };
        if let Some(key) = self.more.keys().find(|key| is_own(key)) {
            bail!("`more`: {key:?} is set by poolproof itself");
        }
        if let Some(key) = self.omit.iter().find(|key| is_own(key)) {
            bail!("`omit`: no request can do without {key:?}");
        }
        ensure!(
            !self.max_tokens().is_empty(),
            "`max_tokens` is empty: it is the name of the parameter"
        );
        Ok(())
    }

    /// Changes a body accordingly.
    pub fn adapt(&self, body: &mut Map<String, Value>) {
        if let Some(name) = &self.max_tokens
            && let Some(limit) = body.remove(MAX_TOKENS)
        {
            body.insert(name.clone(), limit);
        }
        for (sent, key) in [
            (self.ignore_eos, IGNORE_EOS),
            (self.stream_options, STREAM_OPTIONS),
        ] {
            if sent == Some(false) {
                body.remove(key);
            }
        }
        for key in &self.omit {
            body.remove(key);
        }
        for (key, value) in &self.more {
            if !body.contains_key(key) {
                body.insert(key.clone(), value.clone());
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn parameters_are_renamed_left_out_and_added() {
        let parameters: Parameters = toml::from_str(
            "max_tokens = 'max_completion_tokens'\nignore_eos = false\nomit = ['user']\nmore = { temperature = 0.5, seed = 1 }",
        )
        .unwrap();
        let mut body = json!({"max_tokens": 3, "ignore_eos": true, "stream": true, "stream_options": {}, "seed": 2, "user": "u"});
        parameters.adapt(body.as_object_mut().unwrap());
        assert_eq!(
            body,
            json!({"max_completion_tokens": 3, "stream": true, "stream_options": {}, "seed": 2, "temperature": 0.5})
        );
        let of_workload: Parameters =
            toml::from_str("stream_options = false\nignore_eos = true\nmore = { temperature = 1 }")
                .unwrap();
        let both = of_workload.over(&parameters);
        assert_eq!(
            (both.ignore_eos, both.stream_options),
            (Some(true), Some(false))
        );
        assert_eq!(both.max_tokens(), "max_completion_tokens");
        assert_eq!(both.more["temperature"], 1);
    }
}
