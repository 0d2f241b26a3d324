//! A streamed answer put together from its frames.

use std::collections::BTreeSet;

use poolproof_client::Exchange;
use serde_json::Value;

/// What a stream says, put together.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Answer {
    pub(super) text: String,
    /// Empty if none was given.
    pub(super) finish_reason: String,
    pub(super) completion_tokens: Option<u64>,
}

/// Puts a stream together; says what it is that no whole stream does.
pub(super) fn read(exchange: &Exchange) -> Result<Answer, String> {
    if !exchange.is_event_stream() || !exchange.is_success() {
        let frames = exchange.frames.len();
        return Err(format!("{frames} frames, {}", end_in_words(exchange)));
    }
    let mut answer = Answer {
        text: String::new(),
        finish_reason: String::new(),
        completion_tokens: None,
    };
    let (mut pieces, mut ids) = (0, BTreeSet::new());
    // The last one is [DONE].
    for frame in &exchange.frames[..exchange.frames.len() - 1] {
        let chunk: Value = serde_json::from_str(&frame.data)
            .map_err(|_| format!("a frame before the last that is no JSON: {:?}", frame.data))?;
        ids.insert(chunk["id"].as_str().unwrap_or("").to_owned());
        if let Some(tokens) = chunk["usage"]["completion_tokens"].as_u64() {
            answer.completion_tokens = Some(tokens);
        }
        let choice = &chunk["choices"][0];
        let text = choice["text"].as_str().unwrap_or("");
        if !text.is_empty() {
            if !answer.finish_reason.is_empty() {
                return Err(format!("text after its finish_reason: {text:?}"));
            }
            pieces += 1;
            answer.text.push_str(text);
        }
        if let Some(reason) = choice["finish_reason"].as_str() {
            if !answer.finish_reason.is_empty() {
                return Err("two finish_reasons".to_owned());
            }
            reason.clone_into(&mut answer.finish_reason);
        }
    }
    if ids.len() > 1 {
        return Err(format!("frames of {} answers", ids.len()));
    }
    match answer.completion_tokens {
        Some(tokens) if pieces > tokens => {
            Err(format!("{pieces} frames with text of {tokens} tokens"))
        }
        _ => Ok(answer),
    }
}

fn end_in_words(exchange: &Exchange) -> String {
    match exchange.frames.last() {
        Some(last) if exchange.status == Some(200) => {
            let data: String = last.data.chars().take(40).collect();
            format!("the last of them {data:?}, then {:?}", exchange.ending)
        }
        _ => exchange.describe(),
    }
}
