//! What the words of servers mean: the names of events, and finish reasons.

use super::chunk;
use super::lenient::{TREE_LIMIT_BYTES, is_nothing};
use poolproof_model::api::Api;
use poolproof_model::remark::Remark;

/// Whether an event of this name is an error: `error`, `server_error`, `response.failed` and their like.
pub(super) fn is_error(name: &[u8]) -> bool {
    let name = name.to_ascii_lowercase();
    let has = |word: &[u8]| name.windows(word.len()).any(|part| part == word);
    has(b"error") || has(b"exception") || name.ends_with(b"failed")
}

/// Whether an event of this name keeps a connection alive, and is no part of the answer.
pub(super) fn is_ping(name: &[u8]) -> bool {
    let names: [&[u8]; 5] = [
        b"ping",
        b"keepalive",
        b"keep-alive",
        b"keep_alive",
        b"heartbeat",
    ];
    names.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// The words of an API for the end of an answer: for its reason, and for what ends a stream.
pub(super) fn ends_of(api: Api) -> (&'static str, &'static str) {
    match api {
        Api::Responses => ("final status", "`response.completed`"),
        Api::Messages => ("stop_reason", "`message_stop`"),
        _ => ("finish_reason", "`[DONE]`"),
    }
}

/// What a finish reason means.
pub(super) enum Finish {
    /// There is none.
    None,
    /// The answer was broken off.
    Aborted,
    /// The answer came to its end, perhaps with a remark.
    Reason(Option<Remark>),
}

/// The finish reasons that an API has (OpenAI API, chat completion object and response object; Anthropic, "Handling stop reasons").
fn known(api: Api) -> &'static [&'static str] {
    match api {
        Api::Responses => &["completed", "max_output_tokens"],
        Api::Messages => &[
            "end_turn",
            "max_tokens",
            "stop_sequence",
            "tool_use",
            "pause_turn",
            "model_context_window_exceeded",
        ],
        _ => &["stop", "length", "tool_calls", "function_call"],
    }
}

/// Whether a finish reason stands for an answer that goes on: the status of a response that is not at its end.
fn goes_on(api: Api, reason: &str) -> bool {
    api == Api::Responses && ["in_progress", "queued"].contains(&reason)
}

/// The meaning of a finish reason, as it is in the document. SGLang writes some as objects with a `type`.
pub(super) fn finish_of(api: Api, json: Option<&str>) -> Finish {
    /// Words in the finish reasons of answers that were broken off (vLLM `abort` and `error`, OpenRouter `error`, DeepSeek
    /// `insufficient_system_resource`, and their like).
    const BROKEN_OFF: [&str; 20] = [
        "abort",
        "error",
        "cancel",
        "fail",
        "timeout",
        "timed",
        "interrupt",
        "unavailable",
        "disconnect",
        "kill",
        "exception",
        "crash",
        "overload",
        "insufficient",
        "incomplete",
        "reject",
        "preempt",
        "shutdown",
        "terminat",
        "evict",
    ];
    let Some(json) = json.filter(|json| !is_nothing(json)) else {
        return Finish::None;
    };
    if known(api).contains(&chunk::inside(json)) {
        return Finish::Reason(None);
    }
    let reason = if json.starts_with('{') && json.len() <= TREE_LIMIT_BYTES {
        let object: serde_json::Value = serde_json::from_str(json).unwrap_or_default();
        object["type"].as_str().unwrap_or_default().to_lowercase()
    } else {
        chunk::inside(json).to_lowercase()
    };
    let is_filter = match api {
        Api::Messages => reason == "refusal",
        _ => reason == "content_filter",
    };
    // An incomplete response without its reason is mostly one that reached its limit.
    let is_open = api == Api::Responses && reason == "incomplete";
    if goes_on(api, &reason) {
        Finish::None
    } else if known(api).contains(&reason.as_str()) {
        Finish::Reason(None)
    } else if is_filter {
        Finish::Reason(Some(Remark::ContentFilter))
    } else if is_open {
        Finish::Reason(Some(Remark::FinishUnknown))
    } else if BROKEN_OFF.iter().any(|word| reason.contains(word)) {
        Finish::Aborted
    } else {
        Finish::Reason(Some(Remark::FinishUnknown))
    }
}
