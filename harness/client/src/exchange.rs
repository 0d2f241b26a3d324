//! One request and its complete response, with timestamps.

use std::time::{Duration, Instant};

use reqwest::Version;
use reqwest::header::HeaderMap;

use super::answer::{Answered, Asked, Fault, Stream};
use super::kept::Kept;
use super::machine;
use super::sse::Frame;
use super::whole;

/// How an exchange ended. Any behaviour of the other side is data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The response was complete according to HTTP.
    Complete,
    /// No connection could be established.
    NotConnected(String),
    /// The connection closed before the end of the response.
    Cut(String),
    /// The response did not end before the timeout.
    TimedOut,
    /// The response exceeded the size limit, or all that are kept exceed theirs ([`super::kept`]).
    TooLarge,
    /// The client left, as the request asked for.
    Left,
    /// The request could not be built.
    NotSent(String),
}

/// One request and its complete response.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// The id, as sent in [`super::REQUEST_ID_HEADER`].
    pub id: String,
    /// The intended send time. Latencies count from here.
    pub intended_at: Instant,
    /// The actual send time.
    pub sent_at: Instant,
    /// When status and headers had arrived.
    pub head_at: Option<Instant>,
    /// When the first byte of the body had arrived.
    pub first_byte_at: Option<Instant>,
    /// When the exchange ended.
    pub ended_at: Instant,
    /// The status, if there was a response.
    pub status: Option<u16>,
    /// The HTTP version of the response.
    pub version: Option<Version>,
    /// The headers of the response.
    pub headers: HeaderMap,
    /// The endpoint that the response identifies.
    pub served_by: Option<String>,
    /// The received part of the body.
    pub body: Vec<u8>,
    /// The frames of an event stream.
    pub frames: Vec<Frame>,
    /// The tokens that the request asked for, if it is known.
    pub tokens: Option<u32>,
    /// How the exchange ended.
    pub ending: Ending,
    /// What it takes of what all exchanges may keep.
    pub kept: Kept,
}

/// What a header takes beside its name and its value, in bytes: about that of an entry of a [`HeaderMap`].
const HEADER_BYTES: usize = 64;

impl Exchange {
    pub(super) fn new(id: String, intended_at: Instant) -> Self {
        Self {
            id,
            intended_at,
            sent_at: intended_at,
            head_at: None,
            first_byte_at: None,
            ended_at: intended_at,
            status: None,
            version: None,
            headers: HeaderMap::new(),
            served_by: None,
            body: Vec::new(),
            frames: Vec::new(),
            tokens: None,
            ending: Ending::TimedOut,
            kept: Kept::default(),
        }
    }

    /// What its head takes, in bytes.
    pub(super) fn head_bytes(&self) -> usize {
        let headers = self.headers.iter();
        let bytes = headers.map(|(name, value)| name.as_str().len() + value.len() + HEADER_BYTES);
        bytes.sum()
    }

    /// Adds a part of its body. Long bodies grow by a quarter, not to twice their size.
    pub(super) fn add(&mut self, part: &[u8]) {
        let body = &mut self.body;
        if body.capacity() - body.len() < part.len() {
            body.reserve_exact(part.len().max(body.len() / 4));
        }
        body.extend_from_slice(part);
    }

    /// Counts what is kept of it: its body, its frames, and `others` beside. Returns whether all exchanges are within their limit.
    pub(super) fn keeps(&mut self, others: usize) -> bool {
        let frames = self.frames.capacity() * size_of::<Frame>();
        self.kept.set(self.body.capacity() + frames + others)
    }

    /// Drops all but the first bytes of its body, and all frames.
    pub(super) fn shorten(&mut self, left: usize) {
        self.body.truncate(left);
        self.body.shrink_to_fit();
        self.frames = Vec::new();
        self.keeps(self.head_bytes());
    }

    /// The value of a response header, if present and valid text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Whether the content type of the response is that of an event stream.
    pub fn is_event_stream(&self) -> bool {
        let content_type = self.headers.get("content-type");
        content_type.is_some_and(|kind| whole::is_event_stream(kind.as_bytes()))
    }

    /// Whether the response is a complete 200. A stream must be good by [`Exchange::answered`].
    pub fn is_success(&self) -> bool {
        let complete = self.status == Some(200) && self.ending == Ending::Complete;
        complete && (!self.is_event_stream() || self.judged(false).is_ok())
    }

    /// What an event stream contains, or why it is no good answer, by the judgement that load runs use too. Times in it are not those
    /// of the exchange.
    pub fn answered(&self) -> Result<Answered, Fault> {
        self.judged(true)
    }

    fn judged(&self, text: bool) -> Result<Answered, Fault> {
        let mut stream = Stream::new(Asked {
            stream: true,
            text,
            tokens: self.tokens,
            ..Asked::default()
        });
        if self.body.is_empty() {
            for frame in &self.frames {
                let mut event = String::new();
                if !frame.name.is_empty() {
                    event = format!("event: {}\n", frame.name);
                }
                for line in frame.data.split('\n') {
                    event.push_str(&format!("data: {line}\n"));
                }
                event.push('\n');
                stream.feed(event.as_bytes(), frame.at, |_| ())?;
            }
        } else {
            stream.feed(&self.body, self.ended_at, |_| ())?;
        }
        stream.end()
    }

    /// The time from the intended send to the first byte of the body: for a stream, the time to first token.
    pub fn ttft(&self) -> Option<Duration> {
        Some(
            self.first_byte_at?
                .saturating_duration_since(self.intended_at),
        )
    }

    /// The time from the intended send to the end.
    pub fn latency(&self) -> Duration {
        self.ended_at.saturating_duration_since(self.intended_at)
    }

    /// The time from the send to the end.
    pub fn latency_from_send(&self) -> Duration {
        self.ended_at.saturating_duration_since(self.sent_at)
    }

    /// A short description of the response, for reports.
    pub fn describe(&self) -> String {
        let text = String::from_utf8_lossy(&self.body[..self.body.len().min(120)]);
        let text = text.trim();
        match (&self.status, &self.ending) {
            (Some(200), Ending::Complete) if self.is_event_stream() => match self.judged(false) {
                Ok(_) => format!("200, {text:?}"),
                Err(fault) => format!("200, {fault}"),
            },
            (Some(status), Ending::Complete) if text.is_empty() => format!("{status}, empty body"),
            (Some(status), Ending::Complete) => format!("{status}, {text:?}"),
            (Some(status), ending) => format!("{status}, then {ending:?}"),
            (None, ending) => format!("no answer: {ending:?}"),
        }
    }
}

/// The ending that an error of reqwest stands for.
pub(super) fn ending_of(error: &reqwest::Error) -> Ending {
    machine::note(error);
    let text = chain(error);
    if error.is_connect() {
        Ending::NotConnected(text)
    } else if error.is_timeout() {
        Ending::TimedOut
    } else if error.is_builder() {
        Ending::NotSent(text)
    } else {
        Ending::Cut(text)
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = cause.to_string();
        source = cause.source();
    }
    text
}
