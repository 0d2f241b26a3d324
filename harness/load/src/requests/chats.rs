//! Conversations of a dataset in the form of each API. Datasets have the messages of a chat.
//!
//! Source: OpenAI API, Responses, `input` (content parts are `input_text`, those of an assistant `output_text`); Anthropic API, Messages
//! (`system` stands beside the messages).

use anyhow::{Context, Result};
use serde_json::Value;

use poolproof_model::api::Api;
use poolproof_model::workload::dataset::{Prompt, said};

/// The prompts in the form of an API; empty if they are sent as they are.
pub(super) fn converted(api: Api, prompts: &[Prompt]) -> Result<Vec<String>> {
    let convert = match api {
        Api::Responses => input,
        Api::Messages => messages,
        _ => return Ok(Vec::new()),
    };
    let each = prompts.iter().map(|prompt| {
        let messages = serde_json::from_str(&format!("[{}]", prompt.messages));
        Ok(convert(messages.context("a prompt of the dataset")?))
    });
    each.collect()
}

/// The inside of the array `input`.
fn input(mut messages: Vec<Value>) -> String {
    for message in &mut messages {
        let kind = match message["role"] == "assistant" {
            true => "output_text",
            false => "input_text",
        };
        for part in message["content"].as_array_mut().into_iter().flatten() {
            if part["type"] == "text" {
                part["type"] = kind.into();
            }
        }
    }
    let messages: Vec<String> = messages.iter().map(Value::to_string).collect();
    messages.join(",")
}

/// The members `messages` and, if there is a system prompt, `system`.
fn messages(messages: Vec<Value>) -> String {
    let is_system = |message: &Value| message["role"] == "system" || message["role"] == "developer";
    let (system, messages): (Vec<Value>, Vec<Value>) = messages.into_iter().partition(is_system);
    let system: Vec<String> = system.iter().map(said).collect();
    let mut members = String::new();
    if !system.is_empty() {
        members = format!("\"system\":{},", Value::from(system.join("\n")));
    }
    members + &format!("\"messages\":{}", Value::from(messages))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_conversation_has_the_form_of_each_api() {
        let messages = json!([
            {"role": "system", "content": "be \"kind\""},
            {"role": "user", "content": [{"type": "text", "text": "q"}]},
            {"role": "assistant", "content": [{"type": "text", "text": "a"}]},
            {"role": "user", "content": "r"},
        ]);
        let inside = messages.to_string();
        let prompt = Prompt {
            messages: inside[1..inside.len() - 1].to_owned(),
            text: String::new(),
            output_tokens: None,
        };
        let of = |api| converted(api, std::slice::from_ref(&prompt)).unwrap();
        assert!(of(Api::Chat).is_empty());
        let input: Value = serde_json::from_str(&format!("[{}]", of(Api::Responses)[0])).unwrap();
        assert_eq!(input[0], messages[0]);
        assert_eq!(input[1]["content"][0]["type"], "input_text");
        assert_eq!(input[2]["content"][0]["type"], "output_text");
        let body: Value = serde_json::from_str(&format!("{{{}}}", of(Api::Messages)[0])).unwrap();
        assert_eq!(body["system"], "be \"kind\"");
        assert_eq!(body["messages"].as_array().unwrap().len(), 3);
        assert_eq!(body["messages"][0], messages[1]);
    }
}
