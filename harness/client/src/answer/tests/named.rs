//! Streams and whole answers of the APIs with named events.

use super::*;
use poolproof_property::{config, pieces};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

fn asked(api: Api) -> Asked {
    Asked {
        api,
        text: true,
        ..STREAM
    }
}

fn event(kind: &str, mut data: Value) -> String {
    data["type"] = kind.into();
    format!("event: {kind}\ndata: {data}\n\n")
}

fn delta(text: &str) -> String {
    event(
        "response.output_text.delta",
        json!({"item_id": "m", "delta": text}),
    )
}

fn thought(text: &str) -> String {
    event(
        "response.reasoning_text.delta",
        json!({"item_id": "m", "delta": text}),
    )
}

/// The last event of a response with this status and further fields.
fn last(kind: &str, status: &str, more: Value) -> String {
    let mut response =
        json!({"id": "r", "status": status, "usage": {"input_tokens": 7, "output_tokens": 3}});
    for (key, value) in more.as_object().into_iter().flatten() {
        response[key] = value.clone();
    }
    event(kind, json!({"response": response}))
}

fn completed() -> String {
    last("response.completed", "completed", json!({"error": null}))
}

fn text(text: &str) -> String {
    let delta = json!({"type": "text_delta", "text": text});
    event("content_block_delta", json!({"index": 0, "delta": delta}))
}

fn started() -> String {
    let usage = json!({"input_tokens": 4, "cache_read_input_tokens": 3, "output_tokens": 1});
    let message = json!({"id": "m", "content": [], "stop_reason": null, "usage": usage});
    event("message_start", json!({"message": message}))
        + &event("ping", json!({}))
        + &event(
            "content_block_start",
            json!({"index": 0, "content_block": {"type": "text", "text": ""}}),
        )
}

fn stopped(reason: &str) -> String {
    let delta = json!({"stop_reason": reason, "stop_sequence": null});
    event("content_block_stop", json!({"index": 0}))
        + &event(
            "message_delta",
            json!({"delta": delta, "usage": {"output_tokens": 3}}),
        )
        + &event("message_stop", json!({}))
}

/// The names of the remarks on a good stream, or the kind of its fault.
fn verdict(api: Api, stream: &str) -> Result<Vec<&'static str>, Kind> {
    let judged = read(asked(api), &[stream]).0;
    match judged {
        Ok(answered) => Ok(answered.remarks.iter().map(Remark::name).collect()),
        Err(fault) => {
            assert!(fault.detail.len() < 900, "{fault}");
            Err(fault.kind)
        }
    }
}

/// Reads a stream of these parts and the end. Its last three parts are tokens; reasoning and the text that is kept are as given.
fn three_tokens(
    api: Api,
    parts: [&String; 4],
    end: &String,
    (reasoned, kept): (bool, &str),
) -> Answered {
    let parts = parts.into_iter().chain([end]);
    let parts: Vec<&str> = parts.map(String::as_str).collect();
    let (answered, gaps) = read(asked(api), &parts);
    let answered = answered.unwrap();
    assert_eq!((gaps, answered.chunks), (vec![10, 10], 3));
    assert_eq!(
        (answered.usage, answered.reasoned),
        (Some((7, 3)), reasoned)
    );
    assert_eq!(answered.text(), kept);
    assert!(answered.remarks.is_empty(), "{:?}", answered.remarks);
    answered
}

#[test]
fn a_response_is_timed_by_its_deltas_and_counted_at_its_end() {
    let created = event(
        "response.created",
        json!({"response": {"id": "r", "usage": null}}),
    );
    let call = json!({"item": {"type": "function_call", "name": "f", "arguments": ""}});
    let named = event("response.output_item.added", call);
    let arguments = event(
        "response.function_call_arguments.delta",
        json!({"delta": "{}"}),
    );
    let end = completed();
    for (parts, reasoned, kept) in [
        (
            [&created, &delta("a "), &delta("b\""), &delta("c")],
            false,
            "a b\"c",
        ),
        (
            [&created, &thought("a "), &thought("b "), &delta("c")],
            true,
            "c",
        ),
        ([&created, &delta("a "), &named, &arguments], false, "a "),
    ] {
        let answered = three_tokens(Api::Responses, parts, &end, (reasoned, kept));
        let first = answered.first_token_at.unwrap();
        assert_eq!((answered.ended_at.unwrap() - first).as_millis(), 30);
        let answer = answered.first_answer_at.unwrap() - first;
        assert_eq!(answer.as_millis(), if reasoned { 20 } else { 0 });
    }
}

#[test]
fn a_message_is_timed_by_its_deltas_and_counted_from_both_ends() {
    let thinking = json!({"index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}});
    let thinking = event("content_block_delta", thinking);
    let tool = json!({"index": 1, "content_block": {"type": "tool_use", "name": "f", "input": {}}});
    let tool = event("content_block_start", tool);
    let input = json!({"index": 1, "delta": {"type": "input_json_delta", "partial_json": "{}"}});
    let input = event("content_block_delta", input);
    let empty = json!({"index": 1, "delta": {"type": "input_json_delta", "partial_json": ""}});
    let tool = tool + &event("content_block_delta", empty);
    let (start, end) = (started(), stopped("end_turn"));
    for (parts, reasoned, kept) in [
        (
            [&start, &text("a "), &text("b\""), &text("c")],
            false,
            "a b\"c",
        ),
        ([&start, &thinking, &thinking, &text("c")], true, "c"),
        ([&start, &text("a "), &tool, &input], false, "a "),
    ] {
        let answered = three_tokens(Api::Messages, parts, &end, (reasoned, kept));
        assert_eq!(answered.finish.as_deref(), Some("end_turn"));
    }
}

#[test]
fn each_end_of_a_response_has_its_verdict() {
    let abc = delta("a ") + &delta("b ") + &delta("c ");
    let incomplete = |reason: Value| {
        last(
            "response.incomplete",
            "incomplete",
            json!({"incomplete_details": reason}),
        )
    };
    let failed = json!({"error": {"code": "server_error", "message": "boom"}});
    let text_done = event("response.output_text.done", json!({"text": "a b c"}));
    let output =
        json!([{"type": "message", "content": [{"type": "output_text", "text": "a b c"}]}]);
    for (stream, wanted) in [
        (abc.clone() + &completed(), Ok(vec![])),
        (
            abc.clone() + &incomplete(json!({"reason": "max_output_tokens"})),
            Ok(vec![]),
        ),
        (
            abc.clone() + &incomplete(json!({"reason": "content_filter"})),
            Ok(vec!["content-filter"]),
        ),
        (
            abc.clone() + &incomplete(json!({"reason": "sparkle"})),
            Ok(vec!["finish-unknown"]),
        ),
        (
            abc.clone() + &incomplete(Value::Null),
            Ok(vec!["finish-unknown"]),
        ),
        (
            abc.clone() + &incomplete(json!({"reason": "engine_crash"})),
            Err(Kind::Aborted),
        ),
        (
            abc.clone() + &last("response.completed", "in_progress", json!({})),
            Ok(vec![]),
        ),
        (
            abc.clone()
                + &last(
                    "response.completed",
                    "incomplete",
                    json!({"incomplete_details": {"reason": "max_output_tokens"}}),
                ),
            Ok(vec![]),
        ),
        (
            abc.clone() + &last("response.completed", "completed", json!({"usage": null})),
            Ok(vec!["no-usage"]),
        ),
        (
            abc.clone() + &event("response.completed", json!({})),
            Ok(vec!["no-usage"]),
        ),
        (text_done.clone() + &completed(), Ok(vec![])),
        (abc.clone() + &text_done + &completed(), Ok(vec![])),
        (
            last("response.completed", "completed", json!({"output": output})),
            Ok(vec![]),
        ),
        (completed(), Ok(vec!["no-text"])),
        (abc.clone() + &completed() + DONE, Ok(vec!["done-foreign"])),
        (
            abc.clone() + &completed() + &completed(),
            Ok(vec!["after-done"]),
        ),
        (
            abc.clone() + &event("response.sparkle.failed", json!({})) + &completed(),
            Ok(vec![]),
        ),
        (
            abc.clone() + &event("sparkle", json!({"x": 1})) + &completed(),
            Ok(vec!["named-event"]),
        ),
        (
            abc.clone() + "event: ping\ndata: now\n\n" + &completed(),
            Ok(vec!["named-event"]),
        ),
        (abc.clone(), Err(Kind::NoDone)),
        (abc.clone() + DONE, Err(Kind::NoFinish)),
        (abc.clone() + DONE + &completed(), Err(Kind::NoFinish)),
        (abc.clone() + completed().trim_end(), Err(Kind::NoDone)),
        (
            abc.clone() + &last("response.failed", "failed", failed.clone()),
            Err(Kind::ErrorEvent),
        ),
        (
            abc.clone() + &last("response.completed", "failed", failed),
            Err(Kind::ErrorEvent),
        ),
        (
            abc.clone() + &last("response.completed", "failed", json!({})),
            Err(Kind::Aborted),
        ),
        (
            abc.clone() + &last("response.cancelled", "cancelled", json!({})),
            Err(Kind::Aborted),
        ),
        (
            abc.clone() + &event("error", json!({"message": "boom"})),
            Err(Kind::ErrorEvent),
        ),
        (
            abc.clone() + "event: error\ndata: boom\n\n" + &completed(),
            Err(Kind::ErrorEvent),
        ),
        (
            abc.clone() + "data: {\"error\":{\"message\":\"boom\"}}\n\n" + &completed(),
            Err(Kind::ErrorEvent),
        ),
        (
            abc.clone() + "data: {\"type\":\"server_error\"}\n\n" + &completed(),
            Err(Kind::ErrorEvent),
        ),
        (
            abc.clone() + "{\"error\":{\"message\":\"boom\"}}",
            Err(Kind::ErrorEvent),
        ),
        (
            abc.clone() + "data: <html>\n\n" + &completed(),
            Err(Kind::NotJson),
        ),
        (
            abc.clone() + &completed() + &delta("d "),
            Err(Kind::OutOfOrder),
        ),
        (
            abc.clone() + &delta("c ") + &completed(),
            Err(Kind::Repeated),
        ),
        (with(""), Err(Kind::NoAnswer)),
    ] {
        assert_eq!(verdict(Api::Responses, &stream), wanted, "{stream}");
    }
    let numbered = |number: u64| {
        event(
            "response.output_text.delta",
            json!({"delta": number.to_string(), "sequence_number": number}),
        )
    };
    let stream = |numbers: [u64; 3]| numbers.map(numbered).concat() + &completed();
    assert_eq!(verdict(Api::Responses, &stream([1, 2, 9])), Ok(vec![]));
    assert_eq!(
        verdict(Api::Responses, &stream([1, 3, 2])),
        Ok(vec!["sequence"])
    );
}

#[test]
fn each_end_of_a_message_has_its_verdict() {
    let abc = started() + &text("a ") + &text("b ") + &text("c ");
    let stop = event("message_stop", json!({}));
    let reason = event(
        "message_delta",
        json!({"delta": {"stop_reason": "max_tokens"}}),
    );
    let unnamed = (abc.clone() + &stopped("end_turn")).replace("event: content_block_delta\n", "");
    for (stream, wanted) in [
        (abc.clone() + &stopped("max_tokens"), Ok(vec![])),
        (abc.clone() + &stopped("tool_use"), Ok(vec![])),
        (
            abc.clone() + &stopped("refusal"),
            Ok(vec!["content-filter"]),
        ),
        (
            abc.clone() + &stopped("sparkle"),
            Ok(vec!["finish-unknown"]),
        ),
        (abc.clone() + &reason + &stop, Ok(vec!["no-usage"])),
        (
            abc.clone() + stopped("end_turn").trim_end_matches(&stop),
            Ok(vec!["no-done"]),
        ),
        (
            abc.clone() + &stopped("end_turn") + DONE,
            Ok(vec!["done-foreign"]),
        ),
        (
            abc.clone() + &stopped("end_turn") + &stop,
            Ok(vec!["after-done"]),
        ),
        (
            abc.clone() + &event("sparkle", json!({})) + &stopped("end_turn"),
            Ok(vec!["named-event"]),
        ),
        (
            abc.clone() + "event: ping\ndata: {\"type\": \"ping\"}\n\n" + &stopped("end_turn"),
            Ok(vec![]),
        ),
        (unnamed, Ok(vec!["unnamed"])),
        (started() + &stopped("end_turn"), Ok(vec!["no-text"])),
        (abc.clone(), Err(Kind::NoDone)),
        (started() + &text("a ") + &stop, Err(Kind::NoFinish)),
        (abc.clone() + &stopped("error"), Err(Kind::Aborted)),
        (
            abc.clone() + &event("error", json!({"error": {"type": "overloaded_error"}})),
            Err(Kind::ErrorEvent),
        ),
        (
            abc.clone() + "event: error\ndata: boom\n\n" + &stopped("end_turn"),
            Err(Kind::ErrorEvent),
        ),
        (
            abc.clone() + "data: {\"type\":\"error\",\"error\":{\"message\":\"boom\"}}\n\n",
            Err(Kind::ErrorEvent),
        ),
        (
            abc.clone() + "data: {\n\n" + &stopped("end_turn"),
            Err(Kind::NotJson),
        ),
        (
            abc.clone() + &stopped("end_turn") + &text("d "),
            Err(Kind::OutOfOrder),
        ),
        (
            abc.clone() + &reason + &text("d ") + &stop,
            Err(Kind::OutOfOrder),
        ),
        (
            abc.clone() + &text("c ") + &stopped("end_turn"),
            Err(Kind::Repeated),
        ),
        (with(""), Err(Kind::NoAnswer)),
    ] {
        assert_eq!(verdict(Api::Messages, &stream), wanted, "{stream}");
    }
}

#[test]
fn whole_answers_are_judged_by_their_status_or_their_reason() {
    let item = json!({"type": "message", "content": [{"type": "output_text", "text": "a\n"}]});
    let response = |status: &str, error: Value| {
        json!({"id": "r", "status": status, "error": error, "output": [{"type": "reasoning", "summary": []}, item],
               "usage": {"input_tokens": 2, "output_tokens": 3}})
    };
    let message = |reason: Value| {
        json!({"type": "message", "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "a\n"}],
               "stop_reason": reason, "usage": {"input_tokens": 2, "output_tokens": 3}})
    };
    let call = json!({"status": "completed", "output": [{"type": "function_call", "name": "f", "arguments": "{}"}]});
    let tool = json!({"content": [{"type": "tool_use", "name": "f", "input": {}}], "stop_reason": "tool_use"});
    let open = json!({"status": "queued", "output": []});
    let (responses, messages) = (Api::Responses, Api::Messages);
    for (api, body, wanted) in [
        (
            responses,
            response("completed", Value::Null),
            Ok(("a\n", vec![])),
        ),
        (responses, call, Ok(("", vec!["no-usage"]))),
        (
            responses,
            response("in_progress", Value::Null),
            Ok(("a\n", vec!["no-finish"])),
        ),
        (
            responses,
            response("failed", json!({"message": "boom"})),
            Err(Kind::ErrorBody),
        ),
        (
            responses,
            response("failed", Value::Null),
            Err(Kind::Aborted),
        ),
        (
            responses,
            response("cancelled", Value::Null),
            Err(Kind::Aborted),
        ),
        (responses, open, Err(Kind::NoAnswer)),
        (
            responses,
            json!({"error": {"message": "boom"}}),
            Err(Kind::ErrorBody),
        ),
        (responses, json!({"detail": "boom"}), Err(Kind::ErrorBody)),
        (
            responses,
            json!({"choices": [{"text": "a", "finish_reason": "stop"}]}),
            Err(Kind::NoAnswer),
        ),
        (messages, message("end_turn".into()), Ok(("a\n", vec![]))),
        (
            messages,
            message(Value::Null),
            Ok(("a\n", vec!["no-finish"])),
        ),
        (messages, tool, Ok(("", vec!["no-usage"]))),
        (messages, message("error".into()), Err(Kind::Aborted)),
        (
            messages,
            json!({"type": "error", "error": {"type": "api_error"}}),
            Err(Kind::ErrorBody),
        ),
        (messages, json!({"x": 1}), Err(Kind::NoAnswer)),
    ] {
        let asked = Asked {
            stream: false,
            ..asked(api)
        };
        let body = body.to_string();
        let judged = document(body.as_bytes(), Some(b"application/json"), asked);
        match (&judged, wanted) {
            (Ok(answered), Ok((text, remarks))) => {
                let found: Vec<_> = answered.remarks.iter().map(Remark::name).collect();
                assert_eq!((answered.text().as_str(), found), (text, remarks), "{body}");
            }
            (Err(fault), Err(kind)) => assert_eq!(fault.kind, kind, "{body}"),
            _ => panic!("{body}: {judged:?}"),
        }
    }
}

/// A good stream of three texts.
fn good(api: Api, texts: &[String], numbers: bool) -> String {
    let mut stream = String::new();
    match api {
        Api::Messages => {
            stream += &started();
            texts.iter().for_each(|it| stream += &text(it));
            stream + &stopped("end_turn")
        }
        _ => {
            for (number, text) in texts.iter().enumerate() {
                let mut data = json!({"item_id": "m", "delta": text});
                if numbers {
                    data["sequence_number"] = number.into();
                }
                stream += &event("response.output_text.delta", data);
            }
            stream + &completed()
        }
    }
}

/// A judgement without its times.
fn judged(api: Api, stream: &[u8], sizes: &[usize]) -> Result<Answered, Fault> {
    let at = Instant::now();
    let mut reading = Stream::new(asked(api));
    for piece in pieces(stream, sizes) {
        reading.feed(piece, at, |_| ())?;
    }
    reading.end().map(|answered| Answered {
        first_token_at: None,
        first_answer_at: None,
        last_token_at: None,
        ended_at: None,
        ..answered
    })
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_stream_of_named_events_is_judged_alike_at_every_split(
        texts in vec("[a-z]{1,8}|\\PC{1,4}|[\"\\\\\n]{1,3}", 3),
        is_message in any::<bool>(),
        numbers in any::<bool>(),
        sizes in vec(1_usize..60, 1..6),
    ) {
        let api = if is_message { Api::Messages } else { Api::Responses };
        let stream = good(api, &texts, numbers);
        let whole = judged(api, stream.as_bytes(), &[usize::MAX]);
        prop_assert_eq!(&whole, &judged(api, stream.as_bytes(), &sizes));
        let Ok(answered) = whole else {
            return Err(TestCaseError::fail(format!("{whole:?}")));
        };
        prop_assert_eq!((answered.chunks, answered.usage, answered.remarks), (3, Some((7, 3)), Remarks::default()));
        prop_assert_eq!(answered.text(), texts.concat());
    }

    #[test]
    fn a_byte_that_breaks_named_events_is_seen_or_does_no_harm(
        texts in vec("[a-z]{1,8}", 3),
        is_message in any::<bool>(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        sizes in vec(1_usize..60, 1..6),
    ) {
        let api = if is_message { Api::Messages } else { Api::Responses };
        let mut stream = good(api, &texts, true).into_bytes();
        let at = at.index(stream.len());
        stream[at] = byte;
        if let Ok(answered) = judged(api, &stream, &sizes) {
            let is_seen = !answered.remarks.is_empty() || answered.usage != Some((7, 3)) || answered.chunks != 3;
            let same = answered.text().chars().count() >= texts.concat().len() - 1;
            prop_assert!(is_seen || (same && answered.finish.is_some()), "{:?}", answered);
        }
    }
}
