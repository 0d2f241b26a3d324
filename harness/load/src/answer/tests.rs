//! Answers in one piece and in pieces, whole and not.

#![allow(clippy::unwrap_used)]

use super::*;
use poolproof_client::{Ending, Exchange};
use reqwest::header::{CONTENT_TYPE, HeaderValue};

const STREAM: Asked = Asked {
    stream: true,
    text: false,
};

fn token(text: &str) -> String {
    format!(
        "data: {{\"id\":\"c-1\",\"usage\":null,\"choices\":[{{\"index\":0,\"finish_reason\":null,\"text\":\"{text}\"}}]}}\n\n"
    )
}

const FINISH: &str =
    "data: {\"id\":\"c-1\",\"choices\":[{\"finish_reason\":\"length\",\"text\":\"\"}]}\n\n";
const USAGE: &str = "data: {\"id\":\"c-1\",\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":3}}\n\n";
const DONE: &str = "data: [DONE]\n\n";

/// Reads a stream whose parts arrive 10 ms apart: the judgement, and the gaps in milliseconds.
fn read(parts: &[String]) -> (Result<Answered, Failure>, Vec<u128>) {
    let start = Instant::now();
    let mut reading = Reading::new(STREAM, 200, true);
    let mut gaps = Vec::new();
    for (number, part) in parts.iter().enumerate() {
        let at = start + Duration::from_millis(10 * number as u64);
        let read = reading.data(part.as_bytes(), at, |gap| gaps.push(gap.as_millis()));
        if let Err(failed) = read {
            return (Err(failed.kind), gaps);
        }
    }
    (reading.end().map_err(|failed| failed.kind), gaps)
}

fn parts(parts: &[&str]) -> Vec<String> {
    parts.iter().map(|part| (*part).to_owned()).collect()
}

#[test]
fn every_token_is_timed_and_those_that_come_together_are_counted() {
    let both = token("b ") + &token("c\\\"");
    let (answered, gaps) = read(&parts(&[&token("a "), &both, FINISH, USAGE, DONE]));
    let answered = answered.unwrap();
    assert_eq!(gaps, [10, 0]);
    assert_eq!((answered.chunks, answered.together), (3, 1));
    assert_eq!(answered.usage, Some((7, 3)));
    let span = answered.last_token_at.unwrap() - answered.first_token_at.unwrap();
    assert_eq!(span.as_millis(), 10);
}

#[test]
fn every_chunking_gives_the_same_judgement() {
    let stream = token("a ") + &token("b ") + &token("c ") + FINISH + USAGE + DONE;
    for size in [1, 2, 3, 7, 50, 199, 1000] {
        let chunks: Vec<String> = stream
            .as_bytes()
            .chunks(size)
            .map(|chunk| String::from_utf8(chunk.to_vec()).unwrap())
            .collect();
        let (answered, gaps) = read(&chunks);
        assert_eq!(answered.unwrap().chunks, 3, "{size}");
        assert_eq!(gaps.len(), 2, "{size}");
    }
}

#[test]
fn each_flaw_of_a_stream_is_a_failure_of_its_kind() {
    let (a, b, c) = (token("a "), token("b "), token("c "));
    let other = b.replace("c-1", "c-2");
    let error = "data: {\"error\":{\"message\":\"engine died\"}}\n\n";
    for (stream, wanted) in [
        (parts(&[&a, &b]), Failure::NoDone),
        (parts(&[&a, &b, FINISH, USAGE]), Failure::NoDone),
        (parts(&[&a, error, DONE]), Failure::ErrorEvent),
        (
            parts(&[&a, &b, &b, &c, FINISH, USAGE, DONE]),
            Failure::Repeated,
        ),
        (
            parts(&[&a, &b, FINISH, &c, USAGE, DONE]),
            Failure::OutOfOrder,
        ),
        (
            parts(&[&a, &b, FINISH, USAGE, DONE, &c]),
            Failure::OutOfOrder,
        ),
        (
            parts(&[&a, &other, &c, FINISH, USAGE, DONE]),
            Failure::Mixed,
        ),
        (parts(&[&a, "data: <html>\n\n", DONE]), Failure::NotJson),
        (
            parts(&["data: {\"id\":\"c-1\"}\n\n", DONE]),
            Failure::NoAnswer,
        ),
    ] {
        assert_eq!(read(&stream).0, Err(wanted));
    }
    let endless = "x".repeat(1 << 19);
    assert_eq!(read(&vec![endless; 3]).0, Err(Failure::TooLong));
}

/// The client's judgement of a body that ends as framed.
fn is_success(body: &[u8], size: usize) -> bool {
    let now = Instant::now();
    let mut parser = poolproof_client::sse::Parser::default();
    let chunks = body.chunks(size);
    Exchange {
        id: String::new(),
        intended_at: now,
        sent_at: now,
        head_at: Some(now),
        first_byte_at: None,
        ended_at: now,
        version: None,
        status: Some(200),
        headers: [(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"))]
            .into_iter()
            .collect(),
        served_by: None,
        body: body.to_vec(),
        frames: chunks.flat_map(|chunk| parser.feed(chunk, now)).collect(),
        ending: Ending::Complete,
    }
    .is_success()
}

#[test]
fn client_and_engine_agree_on_whether_a_stream_is_whole() {
    let answer = token("a ") + FINISH;
    for (end, wanted) in [
        ("", Some(Failure::NoDone)),
        ("data: [DONE]", Some(Failure::NoDone)),
        ("data: [DONE]\n", Some(Failure::NoDone)),
        ("data: [DONE] \n\n", Some(Failure::NotJson)),
        (DONE, None),
        ("data:[DONE]\r\n\r\n", None),
        ("data: [DONE]\n\n: bye\n\n", None),
        ("data: [DONE]\n\ndata: {", None),
        ("data: [DONE]\n\ndata: [DONE]\n\n", None),
        ("data: [DONE]\n\ndata: {}\n\n", Some(Failure::OutOfOrder)),
        (
            "data: [DONE]\n\ndata: {}\n\ndata: [DONE]\n\n",
            Some(Failure::OutOfOrder),
        ),
    ] {
        let stream = answer.clone() + end;
        for size in [1, 7, 1000] {
            let mut reading = Reading::new(STREAM, 200, true);
            for chunk in stream.as_bytes().chunks(size) {
                reading.data(chunk, Instant::now(), |_| {}).unwrap();
            }
            let failed = reading.end().err().map(|failed| failed.kind);
            assert_eq!(failed, wanted, "{end:?}, chunks of {size}");
            let success = is_success(stream.as_bytes(), size);
            assert_eq!(success, wanted.is_none(), "{end:?}, chunks of {size}");
        }
    }
}

#[test]
fn the_text_is_kept_where_it_is_asked_for_and_up_to_a_limit() {
    let stream = token("a ") + &token("b\\n") + &token("c\\ud83d") + &token("\\ude00 d") + FINISH;
    let stream = stream + USAGE.replace(":3", ":4").as_str() + DONE;
    let text = |asked, stream: &str| {
        let mut reading = Reading::new(asked, 200, true);
        for part in stream.as_bytes().chunks(1 << 16) {
            reading
                .data(part, Instant::now(), |_| {})
                .map_err(|failed| failed.kind)?;
        }
        reading
            .end()
            .map(|it| it.text)
            .map_err(|failed| failed.kind)
    };
    let kept = Asked {
        text: true,
        ..STREAM
    };
    assert_eq!(text(kept, &stream).unwrap(), b"a b\\nc\\ud83d\\ude00 d");
    assert_eq!(text(STREAM, &stream).unwrap(), b"");
    let long = token(&"x".repeat(1 << 16)).repeat(20);
    assert_eq!(text(kept, &long), Err(Failure::TooLong));
    assert_eq!(text(STREAM, &long), Err(Failure::NoDone));
}

#[test]
fn several_tokens_in_a_frame_are_no_failure() {
    let (answered, _) = read(&parts(&[&token("a b "), &token("c "), FINISH, USAGE, DONE]));
    let answered = answered.unwrap();
    assert_eq!((answered.chunks, answered.output_tokens()), (2, 3));
}

#[test]
fn a_whole_answer_is_judged_by_its_body() {
    let read = |asked_for_stream, status, body: &str| {
        let asked = Asked {
            stream: asked_for_stream,
            text: true,
        };
        let mut reading = Reading::new(asked, status, false);
        reading
            .data(body.as_bytes(), Instant::now(), |_| {})
            .unwrap();
        reading.end().map_err(|failed| failed.kind)
    };
    let good = r#"{"choices":[{"text":"a","finish_reason":"stop"}],"usage":{"prompt_tokens":2,"completion_tokens":1}}"#;
    let answered = read(false, 200, good).unwrap();
    assert_eq!(answered.usage, Some((2, 1)));
    assert_eq!(answered.text, b"a");
    assert_eq!(read(true, 200, good), Err(Failure::NotStreamed));
    assert_eq!(
        read(false, 200, r#"{"error":"overloaded"}"#),
        Err(Failure::ErrorBody)
    );
    assert_eq!(
        read(true, 200, r#"{"error":"overloaded"}"#),
        Err(Failure::ErrorBody)
    );
    assert_eq!(read(false, 200, "<html>"), Err(Failure::NotJson));
    assert_eq!(
        read(false, 200, r#"{"detail":"later"}"#),
        Err(Failure::NoAnswer)
    );
    assert_eq!(read(false, 429, "busy"), Err(Failure::Status(429)));
}
