//! Answers as the engine receives them. Streams are judged by `poolproof_client::answer`, which has tests of its own.

#![allow(clippy::unwrap_used)]

use super::*;
use poolproof_client::{Ending, Exchange};
use poolproof_model::api::Api;
use reqwest::header::{CONTENT_TYPE, HeaderValue};

const STREAM: Asked = Asked {
    api: Api::Chat,
    stream: true,
    text: false,
    tokens: Some(1),
    strict: false,
    inputs: 0,
    top: 0,
    dimensions: 0,
};

const TOKEN: &str = "data: {\"id\":\"c-1\",\"choices\":[{\"index\":0,\"text\":\"a \"}]}\n\n";
const FINISH: &str =
    "data: {\"id\":\"c-1\",\"choices\":[{\"finish_reason\":\"length\",\"text\":\"\"}]}\n\n";

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
        tokens: STREAM.tokens,
        ending: Ending::Complete,
        kept: Default::default(),
    }
    .is_success()
}

#[test]
fn client_and_engine_agree_on_whether_a_stream_is_good() {
    let error = "event: error\ndata: {\"message\":\"boom\"}\n\n";
    for (body, wanted) in [
        (String::new(), Some(Failure::Answer(Kind::NoAnswer))),
        (TOKEN.to_owned(), Some(Failure::Answer(Kind::NoDone))),
        ([TOKEN, FINISH].concat(), None),
        ([TOKEN, FINISH, "data: [DONE]"].concat(), None),
        ([TOKEN, FINISH, "data: [DONE] \n\n"].concat(), None),
        ([TOKEN, FINISH, "data: [DONE]\n\n"].concat(), None),
        (
            [TOKEN, FINISH, "data:[DONE]\r\n\r\n: bye\n\n"].concat(),
            None,
        ),
        (
            [TOKEN, FINISH, "data: [DONE]\n\ndata: [DONE]\n\n"].concat(),
            None,
        ),
        (
            [
                TOKEN,
                "event: ping\ndata: x\n\n",
                FINISH,
                "data: [DONE]\n\n",
            ]
            .concat(),
            None,
        ),
        (
            [TOKEN, error, "data: [DONE]\n\n"].concat(),
            Some(Failure::Answer(Kind::ErrorEvent)),
        ),
        (
            [TOKEN, "error: {\"code\":400}\n\n", "data: [DONE]\n\n"].concat(),
            Some(Failure::Answer(Kind::ErrorEvent)),
        ),
        (
            [
                TOKEN,
                &FINISH.replace("length", "abort"),
                "data: [DONE]\n\n",
            ]
            .concat(),
            Some(Failure::Answer(Kind::Aborted)),
        ),
        (
            [TOKEN, FINISH, "data: [DONE]\n\n", TOKEN].concat(),
            Some(Failure::Answer(Kind::OutOfOrder)),
        ),
    ] {
        for size in [1, 7, 1000] {
            let mut reading = Reading::new(STREAM, 200, Some(b"Text/Event-Stream; charset=utf-8"));
            for chunk in body.as_bytes().chunks(size) {
                reading.data(chunk, Instant::now(), |_| {}).unwrap();
            }
            let failed = reading.end().err().map(|failed| failed.kind);
            assert_eq!(failed, wanted, "{body:?}, chunks of {size}");
            let success = is_success(body.as_bytes(), size);
            assert_eq!(success, wanted.is_none(), "{body:?}, chunks of {size}");
        }
    }
}

#[test]
fn an_answer_in_one_piece_is_judged_by_its_status_and_its_body() {
    let read = |status, kind: &str, body: &str| {
        let mut reading = Reading::new(STREAM, status, Some(kind.as_bytes()));
        reading
            .data(body.as_bytes(), Instant::now(), |_| {})
            .unwrap();
        reading.end().unwrap_err()
    };
    assert_eq!(read(429, "text/plain", "busy").kind, Failure::Status(429));
    assert_eq!(
        read(429, "text/event-stream", TOKEN).kind,
        Failure::Status(429)
    );
    let plain = read(200, "text/plain", TOKEN);
    assert_eq!(plain.kind, Failure::Answer(Kind::NotStreamed));
    assert!(
        plain
            .detail
            .starts_with("content-type is text/plain, not text/event-stream: data: {")
    );
    assert!(
        read(200, "application/json", "")
            .detail
            .contains("empty body")
    );
}
