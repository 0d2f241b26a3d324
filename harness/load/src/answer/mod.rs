//! Answers: parsed as they arrive, timed token by token, and judged at their end. Only what the judgement needs is kept, so that ten
//! thousand open streams cost little. The text is kept only where the next turn of a session repeats it.

mod chunk;
mod events;

use std::time::{Duration, Instant};

use events::{Events, inside};

use super::failure::{Failed, Failure};

/// The longest answer that is not streamed and kept, in bytes.
const WHOLE_LIMIT_BYTES: usize = 8 << 20;
/// The most that is kept of an answer that failed, in bytes.
const FAILED_LIMIT_BYTES: usize = 4 << 10;
/// The longest text that is kept of a stream, in bytes.
const TEXT_LIMIT_BYTES: usize = 1 << 20;

/// What a request asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// A stream.
    pub stream: bool,
    /// That the text of the answer is kept.
    pub text: bool,
}

/// An answer that is arriving.
#[derive(Debug)]
pub struct Reading {
    asked: Asked,
    status: u16,
    body: Body,
    tokens: Tokens,
    /// The text so far, if it is kept: the inside of a JSON string.
    text: Vec<u8>,
    /// Its first failure.
    failed: Option<Failed>,
}

#[derive(Debug)]
enum Body {
    Whole(Vec<u8>),
    Events(Box<Events>),
}

/// When its tokens arrived.
#[derive(Debug, Default)]
struct Tokens {
    first_at: Option<Instant>,
    last_at: Option<Instant>,
    chunks: u64,
    together: u64,
}

/// An answer that was whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answered {
    /// When its first token came, if it was streamed and had one.
    pub first_token_at: Option<Instant>,
    /// When its last token came.
    pub last_token_at: Option<Instant>,
    /// Frames with text.
    pub chunks: u64,
    /// Of these, those that arrived in the same read as the previous one: something on the path is buffering.
    pub together: u64,
    /// Tokens of the prompt and of the answer, if its usage says so.
    pub usage: Option<(u64, u64)>,
    /// Its content, if that was to be kept: the inside of a JSON string, as the server wrote it.
    pub text: Vec<u8>,
}

impl Answered {
    /// Tokens of the answer: as counted by the server, else one for each chunk.
    pub fn output_tokens(&self) -> u64 {
        self.usage.map_or(self.chunks, |(_, output)| output)
    }
}

impl Reading {
    /// An answer of which the head has come.
    pub fn new(asked: Asked, status: u16, event_stream: bool) -> Self {
        Self {
            asked,
            status,
            body: if event_stream && status == 200 {
                Body::Events(Box::default())
            } else {
                Body::Whole(Vec::new())
            },
            tokens: Tokens::default(),
            text: Vec::new(),
            failed: None,
        }
    }

    /// Takes the bytes that arrived at `at`; `gap` receives the time between consecutive frames with text. Fails if reading on is useless.
    pub fn data(
        &mut self,
        bytes: &[u8],
        at: Instant,
        mut gap: impl FnMut(Duration),
    ) -> Result<(), Failed> {
        match &mut self.body {
            Body::Whole(body) => {
                let limit = match self.status {
                    200 => WHOLE_LIMIT_BYTES,
                    _ => FAILED_LIMIT_BYTES,
                };
                let room = limit - body.len();
                body.extend_from_slice(&bytes[..bytes.len().min(room)]);
                if bytes.len() > room && self.status == 200 {
                    Err(too_long("answer", limit))
                } else {
                    Ok(())
                }
            }
            Body::Events(events) => {
                let Events {
                    splitter, pattern, ..
                } = &mut **events;
                let mut splitter = std::mem::take(splitter);
                let mut known = pattern.take();
                let mut told = None;
                let mut keep = |content: &[u8]| {
                    if self.asked.text {
                        self.text.extend_from_slice(content);
                    }
                };
                splitter.feed(bytes, |frame| {
                    let plain = !events.finished && !events.whole.is_done();
                    let pattern = known.as_ref().filter(|_| plain);
                    if let Some((pattern, text)) =
                        pattern.and_then(|it| Some((it, it.text(frame)?)))
                    {
                        self.tokens.came(at, &mut gap);
                        keep(if pattern.content { text } else { b"" });
                    } else if told.is_none() {
                        let came = |content: &[u8]| {
                            self.tokens.came(at, &mut gap);
                            keep(content);
                        };
                        told = events.frame(frame, &mut known, came).err();
                    }
                });
                let truncated = splitter.truncated();
                (events.splitter, events.pattern) = (splitter, known);
                if self.failed.is_none() {
                    self.failed = told;
                }
                match truncated {
                    true => Err(too_long("event", 1 << 20)),
                    false if self.text.len() > TEXT_LIMIT_BYTES => {
                        Err(too_long("text", TEXT_LIMIT_BYTES))
                    }
                    false => Ok(()),
                }
            }
        }
    }

    /// Judges an answer that has come to its end.
    pub fn end(self) -> Result<Answered, Failed> {
        if let Some(failed) = self.failed {
            return Err(failed);
        }
        let mut answered = Answered {
            first_token_at: self.tokens.first_at,
            last_token_at: self.tokens.last_at,
            chunks: self.tokens.chunks,
            together: self.tokens.together,
            usage: None,
            text: self.text,
        };
        match self.body {
            Body::Whole(body) if self.status != 200 => {
                Err(Failed::with_bytes(Failure::Status(self.status), &body))
            }
            Body::Whole(body) => {
                let Some(said) = chunk::read(&body) else {
                    return Err(Failed::with_bytes(Failure::NotJson, &body));
                };
                if let Some(error) = said.error {
                    return Err(Failed::with_bytes(Failure::ErrorBody, error.as_bytes()));
                }
                if !said.text && !said.finished {
                    return Err(Failed::with_bytes(Failure::NoAnswer, &body));
                }
                if self.asked.stream {
                    return Err(Failed::with_bytes(Failure::NotStreamed, &body));
                }
                if self.asked.text {
                    answered.text = inside(&body, said.content_at).to_vec();
                }
                answered.usage = said.usage;
                Ok(answered)
            }
            Body::Events(events) => events.end(answered),
        }
    }
}

impl Tokens {
    fn came(&mut self, at: Instant, gap: &mut impl FnMut(Duration)) {
        self.chunks += 1;
        if let Some(last) = self.last_at.replace(at) {
            self.together += u64::from(last == at);
            gap(at - last);
        } else {
            self.first_at = Some(at);
        }
    }
}

fn too_long(what: &str, limit_bytes: usize) -> Failed {
    Failed::new(
        Failure::TooLong,
        format!("its {what} is longer than {limit_bytes} bytes"),
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
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
            status: Some(200),
            version: None,
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
        let stream =
            token("a ") + &token("b\\n") + &token("c\\ud83d") + &token("\\ude00 d") + FINISH;
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
}
