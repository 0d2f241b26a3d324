//! Answers in one piece.

use super::*;

#[test]
fn a_whole_answer_is_judged_by_its_body() {
    let read = |stream, kind: Option<&str>, body: &str| {
        let asked = Asked {
            text: true,
            stream,
            ..STREAM
        };
        document(body.as_bytes(), kind.map(str::as_bytes), asked)
    };
    let json = Some("application/json");
    let good = r#"{"choices":[{"text":"a","finish_reason":"stop"}],"usage":{"prompt_tokens":2,"completion_tokens":3}}"#;
    let answered = read(false, json, good).unwrap();
    assert_eq!(
        (answered.usage, answered.text.as_slice()),
        (Some((2, 3)), &b"a"[..])
    );
    assert!(answered.remarks.is_empty());
    for (stream, kind, body, wanted, detail) in [
        (
            true,
            json,
            good,
            Kind::NotStreamed,
            "content-type is application/json, not text/event-stream",
        ),
        (
            true,
            Some("text/plain"),
            "data: {}\n\n",
            Kind::NotStreamed,
            "content-type is text/plain, not text/event-stream: data: {}",
        ),
        (true, None, ": hi\n\n", Kind::NotStreamed, "no content-type"),
        (
            false,
            json,
            r#"{"error":"overloaded"}"#,
            Kind::ErrorBody,
            "overloaded",
        ),
        (
            true,
            json,
            r#"{"object":"error","message":"m"}"#,
            Kind::ErrorBody,
            "\"m\"",
        ),
        (
            false,
            json,
            r#"{"choices":[{"message":{"content":"a"},"finish_reason":"abort"}]}"#,
            Kind::Aborted,
            "abort",
        ),
        (true, Some("text/html"), "<html>", Kind::NotJson, "<html>"),
        (true, json, " \n", Kind::NotJson, "empty body"),
        (false, json, r#"{"later":"x"}"#, Kind::NoAnswer, "later"),
    ] {
        let fault = read(stream, kind, body).unwrap_err();
        assert_eq!(fault.kind, wanted, "{body}");
        assert!(fault.detail.contains(detail), "{fault}");
    }
    let padded = format!("\n   \n{}", good.replace("3}", "2}"));
    let remarks = read(false, json, &padded).unwrap().remarks;
    assert!(remarks.iter().eq([Remark::Shorter]));
}
