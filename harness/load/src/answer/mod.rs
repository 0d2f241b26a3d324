//! Answers: parsed as they arrive, timed token by token, and judged at their end. Only what the judgement needs is kept, so that ten
//! thousand open streams cost little. The text is kept only where the next turn of a session repeats it.

mod chunk;
mod events;
#[cfg(test)]
mod tests;

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
