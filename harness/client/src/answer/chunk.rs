//! One JSON document of the OpenAI API: a whole answer, or a chunk of a stream. Only what the judgement needs is read.
//!
//! Servers differ in what they send around it. Text counts as a token in each of these forms: `text` of completions; `content` as a
//! string or a list of parts; `refusal`, `tool_calls`, `function_call`, `audio` (OpenAI API, chat completion chunk); `reasoning_content`
//! (DeepSeek, vLLM), `reasoning` and `reasoning_details` (OpenRouter, vllm-project/vllm#27752), `thinking` parts (Mistral).

use std::borrow::Cow;

use serde::de::{IgnoredAny, MapAccess};
use serde_json::value::RawValue;

use super::lenient::{
    self, Lenient, List, Listed, Object, TREE_LIMIT_BYTES, is_nothing, text_within,
};

/// What a document says.
#[derive(Default)]
pub(super) struct Said<'a> {
    /// Its id as it is in the document, if it is not empty.
    pub(super) id: Option<&'a str>,
    /// Its error, or the whole document if that is one.
    pub(super) error: Option<&'a str>,
    /// Its usage, if that has any count.
    pub(super) usage: Option<Usage>,
    /// Its choices; `None` if they are no list.
    pub(super) choices: Option<List<Choice<'a>>>,
}

/// Token counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) prompt: Option<u64>,
    pub(super) completion: Option<u64>,
    /// Whether a count is no whole number.
    pub(super) odd: bool,
}

/// The kind of a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Token {
    /// No token.
    #[default]
    None,
    /// A part of the reasoning before the answer.
    Thought,
    /// A part of the answer.
    Answer,
}

/// One choice of a document.
#[derive(Default)]
pub(super) struct Choice<'a> {
    pub(super) index: u64,
    /// Its finish reason as it is in the document, if it is not null.
    pub(super) finish: Option<&'a str>,
    error: Option<&'a str>,
    text: Option<&'a str>,
    delta: Delta<'a>,
    message: Delta<'a>,
}

/// The token that a choice has.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Part<'a> {
    pub(super) token: Token,
    /// The content, without reasoning: the inside of a JSON string.
    pub(super) content: Cow<'a, str>,
    /// The only text of the choice as it is in the document, if there is one, and that is a string.
    pub(super) only: Option<&'a str>,
}

#[derive(Default)]
struct Delta<'a> {
    content: Option<&'a str>,
    /// Texts of the reasoning that are not empty.
    thought: Option<&'a str>,
    thoughts: usize,
    /// Whether it has a part of the answer that is no content: a call, a refusal, audio.
    other: bool,
    error: Option<&'a str>,
}

#[derive(Default)]
struct Document<'a> {
    said: Said<'a>,
    is_error: bool,
    detail: bool,
    message: bool,
    code: bool,
}

/// Reads a document; `None` if it is no JSON object.
pub(super) fn read(document: &[u8]) -> Option<Said<'_>> {
    let text = std::str::from_utf8(document).ok()?;
    let Document {
        mut said,
        is_error,
        detail,
        message,
        code,
    } = lenient::object(text)?;
    let is_bare = said.usage.is_none() && said.choices().next().is_none();
    let of_choice = said.choices().find_map(Choice::own_error);
    said.error = said.error.or(of_choice);
    // Errors in the forms of vLLM before v0.11, of Anthropic, and of FastAPI and proxies.
    if said.error.is_none() && (is_error || (is_bare && (detail || (message && code)))) {
        said.error = Some(text.trim_ascii());
    }
    Some(said)
}

impl<'a> Said<'a> {
    /// Its choices.
    pub(super) fn choices(&self) -> impl Iterator<Item = &Choice<'a>> {
        let list = self.choices.iter();
        list.flat_map(|list| list.first.iter().chain(&list.more))
    }
}

/// A string that is not empty.
pub(super) fn is_text(json: &str) -> bool {
    json.starts_with('"') && json.len() > 2
}

/// The inside of a JSON string.
pub(super) fn inside(json: &str) -> &str {
    json.strip_prefix('"')
        .and_then(|json| json.strip_suffix('"'))
        .unwrap_or_default()
}

pub(super) fn raw<'de, A: MapAccess<'de>>(map: &mut A) -> Result<&'de str, A::Error> {
    Ok(map.next_value::<&RawValue>()?.get())
}

/// The value, unless it stands for none.
pub(super) fn some(json: &str) -> Option<&str> {
    (!is_nothing(json)).then_some(json)
}

impl<'de> Object<'de> for Document<'de> {
    fn take<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        let said = &mut self.said;
        match key {
            "id" => said.id = Some(raw(map)?).filter(|id| *id != "null" && *id != "\"\""),
            "choices" => said.choices = map.next_value::<Listed<Choice<'de>>>()?.0,
            "error" | "errors" => said.error = some(raw(map)?).or(said.error),
            "usage" => said.usage = lenient::filled(map)?,
            "object" | "type" => self.is_error |= raw(map)?.eq_ignore_ascii_case("\"error\""),
            "detail" => self.detail = some(raw(map)?).is_some(),
            "message" => self.message = is_text(raw(map)?),
            "code" | "status" | "status_code" => self.code |= is_code_of_error(raw(map)?),
            _ => {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// A status of HTTP that is one of an error, or a word.
fn is_code_of_error(json: &str) -> bool {
    let code = json.trim_matches('"');
    match code.parse::<f64>() {
        Ok(number) => number >= 400.0,
        Err(_) => is_text(json),
    }
}

impl<'de> Object<'de> for Choice<'de> {
    fn take<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        match key {
            "index" => self.index = number(raw(map)?).map_or(0, |(index, _)| index),
            "finish_reason" => self.finish = Some(raw(map)?).filter(|it| *it != "null"),
            "text" => self.text = Some(raw(map)?).filter(|it| is_text(it)),
            "delta" => self.delta = map.next_value::<Lenient<Delta<'de>>>()?.0,
            "message" => self.message = map.next_value::<Lenient<Delta<'de>>>()?.0,
            "error" => self.error = some(raw(map)?),
            _ => {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

impl<'de> Object<'de> for Delta<'de> {
    fn take<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        match key {
            "content" => self.content = Some(raw(map)?).filter(|it| has_text(it)),
            "reasoning_content" | "reasoning" | "reasoning_text" | "thinking" | "thought"
            | "reasoning_details" | "thinking_blocks" => {
                let json = raw(map)?;
                if has_text(json) {
                    self.thoughts += 1;
                    self.thought = Some(json);
                }
            }
            // The first part of a call may have a name or an id only.
            "tool_calls" | "images" => self.other |= is_list_of_some(raw(map)?),
            "refusal" | "function_call" | "audio" => self.other |= has_text(raw(map)?),
            "error" => self.error = some(raw(map)?),
            _ => {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

fn is_list_of_some(json: &str) -> bool {
    let entries = json.strip_prefix('[').map(str::trim_ascii_start);
    entries.is_some_and(|entries| !entries.starts_with(']') && !entries.starts_with("null"))
}

/// Whether a value has text: a string, or parts that have some.
pub(super) fn has_text(json: &str) -> bool {
    match json.as_bytes().first() {
        Some(b'"') => is_text(json),
        Some(b'[' | b'{') => !text_within(json).is_empty(),
        _ => false,
    }
}

impl<'a> Choice<'a> {
    fn own_error(&self) -> Option<&'a str> {
        self.error.or(self.delta.error).or(self.message.error)
    }

    /// Its token. `message` stands for the same as `delta` where both are given.
    pub(super) fn part(&self) -> Part<'a> {
        if let Some(text) = self.text {
            let alone = self.delta.is_empty() && self.message.is_empty();
            return Part {
                token: Token::Answer,
                content: inside(text).into(),
                only: Some(text).filter(|_| alone),
            };
        }
        if self.message.is_empty() {
            self.delta.part()
        } else if self.delta.is_empty() {
            self.message.part()
        } else {
            Part {
                only: None,
                ..self.delta.part()
            }
        }
    }
}

impl<'a> Delta<'a> {
    fn is_empty(&self) -> bool {
        self.content.is_none() && self.thoughts == 0 && !self.other
    }

    fn part(&self) -> Part<'a> {
        let plain = |json: &&str| json.starts_with('"');
        let (content, thinks) = match self.content {
            Some(json) if plain(&json) => (Cow::Borrowed(inside(json)), false),
            Some(json) => parts(json),
            None => (Cow::Borrowed(""), false),
        };
        let token = if !content.is_empty() || self.other {
            Token::Answer
        } else if thinks || self.thoughts > 0 {
            Token::Thought
        } else {
            Token::None
        };
        let one = usize::from(self.content.is_some()) + self.thoughts == 1 && !self.other;
        let only = self.content.or(self.thought).filter(plain);
        Part {
            token,
            content,
            only: only.filter(|_| one),
        }
    }
}

/// The answer in a list of parts, and whether it has parts of reasoning.
pub(super) fn parts<'a>(json: &str) -> (Cow<'a, str>, bool) {
    if json.len() > TREE_LIMIT_BYTES {
        let answer = serde_json::Value::from(json).to_string();
        return (inside(&answer).to_owned().into(), false);
    }
    let parts: Vec<serde_json::Value> = match serde_json::from_str(json) {
        Ok(serde_json::Value::Array(parts)) => parts,
        Ok(part) => vec![part],
        Err(_) => Vec::new(),
    };
    let (mut answer, mut thinks) = (String::new(), false);
    for part in &parts {
        let kind = part["type"].as_str().unwrap_or_default();
        let text = text_within(&part.to_string());
        if kind.contains("think") || kind.contains("reason") {
            thinks |= !text.is_empty();
        } else {
            answer.push_str(&text);
        }
    }
    let answer = serde_json::Value::from(answer).to_string();
    (inside(&answer).to_owned().into(), thinks)
}

/// A number, also one that is written as a string or with a fraction, and whether it is written as a whole number.
pub(super) fn number(json: &str) -> Option<(u64, bool)> {
    if let Ok(whole) = json.parse() {
        return Some((whole, true));
    }
    let number: f64 = json.trim_matches('"').parse().ok()?;
    (number >= 0.0).then(|| (number.round() as u64, false))
}

impl<'de> Object<'de> for Usage {
    fn take<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        let count = match key {
            "prompt_tokens" | "input_tokens" => &mut self.prompt,
            "completion_tokens" | "output_tokens" => &mut self.completion,
            _ => {
                map.next_value::<IgnoredAny>()?;
                return Ok(());
            }
        };
        let found = number(raw(map)?);
        *count = found.map(|(number, _)| number);
        self.odd |= !found.is_some_and(|(_, is_whole)| is_whole);
        Ok(())
    }
}

#[cfg(test)]
#[path = "chunk_tests.rs"]
mod tests;
