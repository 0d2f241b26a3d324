//! One JSON document of the OpenAI API: a whole answer, or a frame of a stream.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// The fields of a document that matter here.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Said {
    /// The range of its text in the document, as a JSON string with its quotes, if it has text.
    pub(super) text_at: Option<(usize, usize)>,
    /// The range of its content: text that is not reasoning.
    pub(super) content_at: Option<(usize, usize)>,
    /// Whether it has text, or a call of a tool.
    pub(super) text: bool,
    /// Whether it has a finish reason.
    pub(super) finished: bool,
    /// Tokens of the prompt and of the answer.
    pub(super) usage: Option<(u64, u64)>,
    /// Its error, as it is in the document.
    pub(super) error: Option<String>,
    /// Its id.
    pub(super) id: Option<String>,
}

#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    usage: Option<Usage>,
    #[serde(borrow, default)]
    choices: Vec<Choice<'a>>,
}

#[derive(Deserialize)]
struct Usage {
    #[serde(default)]
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow)]
    finish_reason: Option<&'a RawValue>,
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    #[serde(borrow, alias = "message")]
    delta: Option<Delta<'a>>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow, alias = "reasoning")]
    reasoning_content: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_calls: Option<&'a RawValue>,
}

/// Reads a document; `None` if it is not one of this API.
pub(super) fn read(document: &[u8]) -> Option<Said> {
    let text = std::str::from_utf8(document).ok()?;
    let parsed: Document<'_> = serde_json::from_str(text).ok()?;
    let mut said = Said {
        id: parsed.id.map(Cow::into_owned),
        usage: parsed
            .usage
            .map(|usage| (usage.prompt_tokens, usage.completion_tokens)),
        error: parsed.error.map(|error| error.get().to_owned()),
        ..Said::default()
    };
    for choice in &parsed.choices {
        said.finished |= choice.finish_reason.is_some();
        let delta = choice.delta.as_ref();
        let place = |value: &RawValue| {
            let start = value.get().as_ptr().addr() - text.as_ptr().addr();
            let some = value.get().starts_with('"') && value.get() != "\"\"";
            some.then(|| (start, start + value.get().len()))
        };
        let content = choice.text.or(delta.and_then(|it| it.content));
        let reasoning = delta.and_then(|it| it.reasoning_content);
        said.content_at = content.and_then(place).or(said.content_at);
        said.text_at = reasoning
            .and_then(place)
            .or(said.content_at)
            .or(said.text_at);
        said.text |= said.text_at.is_some();
        let calls = delta.and_then(|it| it.tool_calls);
        said.text |= calls.is_some_and(|calls| calls.get().starts_with("[{"));
    }
    Some(said)
}

/// The bytes around the text of a frame. Nearly all frames of a stream differ only in their text; comparing bytes takes a hundredth of
/// the time that parsing their JSON takes.
#[derive(Debug)]
pub(super) struct Pattern {
    before: Vec<u8>,
    after: Vec<u8>,
    /// Whether the text is content.
    pub(super) content: bool,
}

impl Pattern {
    /// The pattern of this frame, if it has text and nothing else of interest.
    pub(super) fn of(frame: &[u8], said: &Said) -> Option<Self> {
        let plain = !said.finished && said.usage.is_none() && said.error.is_none();
        let one = said.content_at.is_none() || said.content_at == said.text_at;
        let (start, end) = said.text_at.filter(|_| plain && one)?;
        Some(Self {
            before: frame[..start].to_vec(),
            after: frame[end..].to_vec(),
            content: said.content_at == said.text_at,
        })
    }

    /// The text of a frame that matches this pattern, as the inside of a JSON string. Texts with escapes or invalid UTF-8 are left to
    /// the JSON parser.
    pub(super) fn text<'a>(&self, frame: &'a [u8]) -> Option<&'a [u8]> {
        let rest = frame.strip_prefix(self.before.as_slice())?;
        let [b'"', text @ .., b'"'] = rest.strip_suffix(self.after.as_slice())? else {
            return None;
        };
        let plain = !text.is_empty()
            && text
                .iter()
                .all(|byte| !matches!(byte, b'"' | b'\\' | 0..0x20))
            && (text.is_ascii() || std::str::from_utf8(text).is_ok());
        plain.then_some(text)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const TOKEN: &[u8] = br#"{"id":"c-1","usage":null,"object":"chat.completion.chunk","choices":[{"index":0,"finish_reason":null,"delta":{"content":"on "}}]}"#;

    #[test]
    fn a_frame_yields_text_reason_usage_and_error() {
        let said = read(TOKEN).unwrap();
        assert!(said.text && !said.finished);
        assert_eq!(said.id.as_deref(), Some("c-1"));
        let (start, end) = said.text_at.unwrap();
        assert_eq!(&TOKEN[start..end], b"\"on \"");
        let role = read(
            br#"{"choices":[{"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#,
        );
        assert!(!role.unwrap().text);
        let last = read(br#"{"choices":[{"text":"","finish_reason":"length"}]}"#).unwrap();
        assert!(last.finished && !last.text);
        let usage =
            read(br#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4,"x":1}}"#);
        assert_eq!(usage.unwrap().usage, Some((3, 4)));
        let error = read(br#"{"error":{"message":"out of memory"}}"#).unwrap();
        assert!(error.error.unwrap().contains("out of memory"));
        let whole = read(br#"{"choices":[{"message":{"role":"assistant","content":"a b"},"finish_reason":"stop"}]}"#);
        assert!(whole.unwrap().text);
        let thought = read(br#"{"choices":[{"delta":{"reasoning_content":"hm"}}]}"#).unwrap();
        assert!(thought.text && thought.text_at.is_some() && thought.content_at.is_none());
        let call = read(br#"{"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}"#).unwrap();
        assert!(call.text);
        assert_eq!(read(b"{\"choices\":7}"), None);
        assert_eq!(read(b"[DONE]"), None);
    }

    #[test]
    fn a_pattern_matches_frames_that_differ_only_in_text() {
        let pattern = Pattern::of(TOKEN, &read(TOKEN).unwrap()).unwrap();
        let with = |from: &str, to: &str| {
            let text = String::from_utf8(TOKEN.to_vec()).unwrap();
            assert!(text.contains(from));
            text.replace(from, to).into_bytes()
        };
        assert!(pattern.content);
        let greeting = with("\"on \"", "\"grüße\"");
        assert_eq!(pattern.text(&greeting), Some("grüße".as_bytes()));
        for (from, to) in [
            ("\"on \"", "\"\""),
            ("\"on \"", "\"a\\\"b\""),
            ("\"on \"", "\"a\",\"b\":\"c\""),
            ("\"on \"", "null"),
            ("c-1", "c-2"),
            ("null,\"delta", "\"stop\",\"delta"),
        ] {
            assert_eq!(pattern.text(&with(from, to)), None, "{to}");
        }
        // The two ends must not overlap.
        assert_eq!(pattern.text(&TOKEN[..TOKEN.len() - 8]), None);
        let finish = with("null,\"delta", "\"stop\",\"delta");
        assert!(Pattern::of(&finish, &read(&finish).unwrap()).is_none());
    }
}

#[cfg(test)]
mod properties {
    use super::*;
    use poolproof_property::config;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    /// A frame with content and reasoning, each of which it may lack.
    fn frame(content: Option<&str>, reasoning: Option<&str>, finish: Option<&str>) -> Vec<u8> {
        let mut delta = json!({ "role": "assistant" });
        for (key, text) in [("content", content), ("reasoning_content", reasoning)] {
            if let Some(text) = text {
                delta[key] = text.into();
            }
        }
        let choice = json!({ "index": 0, "delta": delta, "finish_reason": finish });
        json!({ "id": "c-1", "choices": [choice] })
            .to_string()
            .into_bytes()
    }

    fn at(frame: &[u8], place: Option<(usize, usize)>) -> Option<String> {
        let (start, end) = place?;
        serde_json::from_slice(&frame[start..end]).ok()
    }

    fn text() -> impl Strategy<Value = Option<String>> {
        prop::option::of("[a-z ]{0,8}|\\PC{0,8}|[\"\\\\\n]{0,3}")
    }

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn any_bytes_and_any_damage_do_no_harm(
            bytes in vec(any::<u8>(), 0..60),
            damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        ) {
            let _ = read(&bytes);
            let mut damaged = frame(Some("on "), None, None);
            for (at, byte) in damage {
                let at = at.index(damaged.len());
                damaged[at] = byte;
            }
            if let Some(said) = read(&damaged) {
                prop_assert!(said.text_at.is_none_or(|(start, end)| start < end && end <= damaged.len()));
            }
        }

        #[test]
        fn a_written_frame_is_read_back(
            content in text(),
            reasoning in text(),
            finish in prop::option::of("[a-z]{1,6}"),
            usage in prop::option::of((any::<u64>(), any::<u64>())),
        ) {
            let written = frame(content.as_deref(), reasoning.as_deref(), finish.as_deref());
            let mut document: Value = serde_json::from_slice(&written).unwrap_or_default();
            if let Some((prompt, completion)) = usage {
                document["usage"] = json!({ "prompt_tokens": prompt, "completion_tokens": completion });
            }
            let written = document.to_string().into_bytes();
            let said = read(&written).unwrap_or_default();
            let some = |text: Option<String>| text.filter(|text| !text.is_empty());
            let (content, reasoning) = (some(content), some(reasoning));
            prop_assert_eq!(at(&written, said.content_at), content.clone());
            prop_assert_eq!(at(&written, said.text_at), reasoning.or(content));
            prop_assert_eq!((said.finished, said.usage), (finish.is_some(), usage));
            prop_assert_eq!(said.id.as_deref(), Some("c-1"));
        }

        #[test]
        fn what_fits_a_pattern_says_what_the_reader_of_json_reads(
            (content, reasoning) in (text(), text()),
            (next_content, next_reasoning) in (text(), text()),
            damage in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
        ) {
            let first = frame(content.as_deref(), reasoning.as_deref(), None);
            let pattern = read(&first).and_then(|said| Pattern::of(&first, &said));
            let both = [(next_content.clone(), next_reasoning), (next_content, reasoning)];
            for (content, reasoning) in both {
                let mut next = frame(content.as_deref(), reasoning.as_deref(), None);
                if let Some((at, byte)) = damage {
                    let at = at.index(next.len());
                    next[at] = byte;
                }
                let Some((pattern, text)) = pattern.as_ref().and_then(|it| Some((it, it.text(&next)?))) else {
                    continue;
                };
                let Some(said) = read(&next) else {
                    return Err(TestCaseError::fail("it is no JSON"));
                };
                let text = Some(String::from_utf8_lossy(text).into_owned());
                prop_assert_eq!(&at(&next, said.text_at), &text);
                prop_assert_eq!(at(&next, said.content_at), text.filter(|_| pattern.content));
            }
        }
    }
}
