//! Definitions of tools in the form of each API.
//!
//! Source: OpenAI API, chat completions (`tools` with a `function` each) and Responses (flat); Anthropic API, Messages (`input_schema`,
//! `tool_choice` with a `type`).

use serde_json::{Map, Value, json};

use poolproof_model::api::Api;
use poolproof_model::workload::Tools;

/// Adds tools to a body.
pub(super) fn define(api: Api, tools: &Tools, body: &mut Map<String, Value>) {
    let all = (0..tools.count).map(|number| tool(api, &Tools::name(number)));
    body.insert("tools".into(), all.collect());
    if let Some(choice) = &tools.choice {
        body.insert("tool_choice".into(), chosen(api, choice));
    }
}

fn tool(api: Api, name: &str) -> Value {
    let description = format!("Looks up what {name} knows about a place, and returns it as text.");
    let schema = json!({
        "type": "object",
        "properties": {
            "place": {"type": "string", "description": "The name of the place"},
            "limit": {"type": "integer", "description": "The most results that are returned"},
        },
        "required": ["place"],
    });
    match api {
        Api::Messages => json!({"name": name, "description": description, "input_schema": schema}),
        Api::Responses => {
            json!({"type": "function", "name": name, "description": description, "parameters": schema})
        }
        _ => {
            let function = json!({"name": name, "description": description, "parameters": schema});
            json!({"type": "function", "function": function})
        }
    }
}

fn chosen(api: Api, choice: &str) -> Value {
    match (api, choice) {
        (Api::Messages, "required") => json!({"type": "any"}),
        (Api::Messages, "auto" | "none") => json!({"type": choice}),
        (Api::Messages, name) => json!({"type": "tool", "name": name}),
        (_, "auto" | "none" | "required") => choice.into(),
        (Api::Responses, name) => json!({"type": "function", "name": name}),
        (_, name) => json!({"type": "function", "function": {"name": name}}),
    }
}
