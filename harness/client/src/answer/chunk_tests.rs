#![allow(clippy::unwrap_used)]

use super::*;

/// The token of the first choice of a document, and its content.
fn token(document: &str) -> (Token, String) {
    let said = read(document.as_bytes()).unwrap();
    let part = said.choices().next().unwrap().part();
    (part.token, part.content.into_owned())
}

fn delta(fields: &str) -> String {
    format!(r#"{{"id":"c","choices":[{{"index":0,"delta":{fields},"finish_reason":null}}]}}"#)
}

#[test]
fn a_token_is_known_in_every_form() {
    use Token::{Answer, None, Thought};
    for (fields, wanted, content) in [
        (r#"{"content":"on "}"#, Answer, "on "),
        (r#"{"content":"\n"}"#, Answer, "\\n"),
        (r#"{"role":"assistant","content":""}"#, None, ""),
        (r#"{"content":null}"#, None, ""),
        ("null", None, ""),
        ("7", None, ""),
        (
            r#"{"content":[{"type":"text","text":"on "}]}"#,
            Answer,
            "on ",
        ),
        (r#"{"content":[]}"#, None, ""),
        (r#"{"content":{"type":"text","text":"on "}}"#, Answer, "on "),
        (
            r#"{"content":[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]}]}"#,
            Thought,
            "",
        ),
        (r#"{"content":[{"type":"text","text":""}]}"#, None, ""),
        (r#"{"reasoning_content":"hm"}"#, Thought, ""),
        (
            r#"{"reasoning":"hm","reasoning_content":"hm"}"#,
            Thought,
            "",
        ),
        (
            r#"{"content":"","reasoning":"hm","reasoning_details":[{"type":"reasoning.text","text":"hm"}]}"#,
            Thought,
            "",
        ),
        (
            r#"{"reasoning_details":[{"type":"reasoning.summary","summary":"hm"}]}"#,
            Thought,
            "",
        ),
        (r#"{"reasoning_details":[]}"#, None, ""),
        (r#"{"tool_calls":[{"index":0}]}"#, Answer, ""),
        (r#"{"tool_calls":[ { "index":0}]}"#, Answer, ""),
        (r#"{"tool_calls":[ ]}"#, None, ""),
        (r#"{"tool_calls":null}"#, None, ""),
        (
            r#"{"function_call":{"name":"f","arguments":""}}"#,
            Answer,
            "",
        ),
        (r#"{"function_call":null}"#, None, ""),
        (r#"{"refusal":"no"}"#, Answer, ""),
        (r#"{"refusal":null,"content":"on "}"#, Answer, "on "),
        (r#"{"audio":{"id":"a","data":"UklG"}}"#, Answer, ""),
        (r#"{"audio":{"id":"a","expires_at":5}}"#, None, ""),
        (
            r#"{"content":"a","content":"b","x":{"content":"c"}}"#,
            Answer,
            "b",
        ),
    ] {
        assert_eq!(
            token(&delta(fields)),
            (wanted, content.to_owned()),
            "{fields}"
        );
    }
    let both = delta(r#"{"content":"a"},"message":{"role":"assistant","content":"a"}"#);
    assert_eq!(token(&both), (Answer, "a".to_owned()));
    let text = r#"{"choices":[{"text":"","delta":{"content":"a"}}]}"#;
    assert_eq!(token(text), (Answer, "a".to_owned()));
    assert_eq!(
        token(r#"{"choices":[{"text":"a"}]}"#),
        (Answer, "a".to_owned())
    );
}

#[test]
fn usage_is_read_in_any_form_and_what_counts_nothing_is_none() {
    let usage = |json: &str| {
        read(format!("{{\"usage\":{json}}}").as_bytes())
            .unwrap()
            .usage
    };
    let counts = |prompt, completion, odd| {
        Some(Usage {
            prompt,
            completion,
            odd,
        })
    };
    assert_eq!(
        usage(r#"{"prompt_tokens":3,"completion_tokens":4,"x":[1]}"#),
        counts(Some(3), Some(4), false)
    );
    assert_eq!(
        usage(r#"{"prompt_tokens":3.0,"completion_tokens":9.6}"#),
        counts(Some(3), Some(10), true)
    );
    assert_eq!(
        usage(r#"{"prompt_tokens":"3","completion_tokens":null}"#),
        counts(Some(3), None, true)
    );
    assert_eq!(
        usage(r#"{"completion_tokens":-1}"#),
        counts(None, None, true)
    );
    assert_eq!(
        usage(r#"{"completion_tokens":4,"completion_tokens":5}"#),
        counts(None, Some(5), false)
    );
    for none in ["null", "{}", "[]", "7", "\"\"", r#"{"total_tokens":7}"#] {
        assert_eq!(usage(none), None, "{none}");
    }
}

#[test]
fn an_error_is_known_in_every_form() {
    for error in [
        r#"{"error":{"message":"out of memory"}}"#,
        r#"{"error":"boom"}"#,
        r#"{"object":"error","message":"boom","code":500}"#,
        r#"{"type":"error","error":{"type":"overloaded_error"}}"#,
        r#"{"choices":[{"index":0,"delta":{"content":""},"error":{"code":502},"finish_reason":"error"}]}"#,
        r#"{"choices":[{"delta":{"error":"boom"}}]}"#,
        r#"{"choices":[],"error":{"message":"boom"}}"#,
        r#"{"detail":"Internal error"}"#,
        r#"{"message":"boom","code":500}"#,
        r#"{"status":503,"message":"loading"}"#,
    ] {
        assert!(read(error.as_bytes()).unwrap().error.is_some(), "{error}");
    }
    for none in [
        r#"{"error":null}"#,
        r#"{"error":false}"#,
        r#"{"error":""}"#,
        r#"{"error":{}}"#,
        r#"{"error":{"message":null,"code":0}}"#,
        r#"{"type":"ping"}"#,
        r#"{"object":"chat.completion.chunk"}"#,
        r#"{"choices":[{"delta":{"content":"a"}}],"message":"x","code":500}"#,
        r#"{"message":"queued"}"#,
        r#"{"choices":[{"error":null}]}"#,
    ] {
        assert!(read(none.as_bytes()).unwrap().error.is_none(), "{none}");
    }
}

#[test]
fn only_what_is_no_json_object_is_refused() {
    for document in [
        "[DONE]",
        "",
        "7",
        "null",
        "{\"a\":NaN}",
        "{\"a\":1",
        "{'a':1}",
        "{\"a\":1} x",
    ] {
        assert!(read(document.as_bytes()).is_none(), "{document}");
    }
    assert!(read(b"{\"a\":\"\xF0\x9F\"}").is_none());
    for document in [
        "{}",
        " {\"choices\":null}",
        "{\"choices\":7}",
        "{\"choices\":{}}",
        "{\"choices\":[null,7,\"a\",[{}]]}",
        "{\"id\":7,\"choices\":[{\"index\":\"x\"}]}",
        "{\"a\":1e999,\"a\":\"\\ud83d\"}",
    ] {
        assert!(read(document.as_bytes()).is_some(), "{document}");
    }
    let said = read(br#"{"id":"","choices":[{"index":1},{"index":0}]}"#).unwrap();
    assert_eq!(said.id, None);
    assert!(said.choices().map(|choice| choice.index).eq([1, 0]));
}

mod properties {
    use super::super::*;
    use poolproof_property::config;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use serde_json::json;

    fn frame(content: Option<&str>, reasoning: Option<&str>, finish: Option<&str>) -> String {
        let mut delta = json!({ "role": "assistant" });
        for (key, text) in [("content", content), ("reasoning_content", reasoning)] {
            if let Some(text) = text {
                delta[key] = text.into();
            }
        }
        let choice = json!({ "index": 0, "delta": delta, "finish_reason": finish });
        json!({ "id": "c-1", "choices": [choice] }).to_string()
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
            let mut damaged = frame(Some("on "), None, None).into_bytes();
            for (at, byte) in damage {
                let at = at.index(damaged.len());
                damaged[at] = byte;
            }
            if let Some(said) = read(&damaged) {
                let parts: Vec<_> = said.choices().map(|choice| choice.part().token).collect();
                prop_assert!(parts.len() < 4);
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
            let mut document: serde_json::Value = serde_json::from_str(&written).unwrap_or_default();
            if let Some((prompt, completion)) = usage {
                document["usage"] = json!({ "prompt_tokens": prompt, "completion_tokens": completion });
            }
            let written = document.to_string();
            let Some(said) = read(written.as_bytes()) else {
                return Err(TestCaseError::fail(written));
            };
            let choices: Vec<_> = said.choices().collect();
            let part = choices[0].part();
            let some = |text: Option<String>| text.filter(|text| !text.is_empty());
            let (content, reasoning) = (some(content), some(reasoning));
            let back: Option<String> = serde_json::from_str(&format!("\"{}\"", part.content)).ok();
            prop_assert_eq!(back, Some(content.clone().unwrap_or_default()));
            let token = match (&content, &reasoning) {
                (Some(_), _) => Token::Answer,
                (None, Some(_)) => Token::Thought,
                (None, None) => Token::None,
            };
            prop_assert_eq!(part.token, token);
            prop_assert_eq!(part.only.is_some(), content.is_some() != reasoning.is_some());
            prop_assert_eq!(choices[0].finish.map(inside), finish.as_deref());
            prop_assert_eq!(said.usage.map(|it| (it.prompt, it.completion)), usage.map(|(p, c)| (Some(p), Some(c))));
        }
    }
}
