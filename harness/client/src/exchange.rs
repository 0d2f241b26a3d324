//! One request and everything that came back, with the times at which it came.

use std::time::{Duration, Instant};

use reqwest::header::HeaderMap;

use super::sse::Frame;
use super::whole::{self, BodyEnd, Verdict};

/// How an exchange ended. Whatever the other side did is data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The answer ended as HTTP says it does.
    Complete,
    /// No connection could be made.
    NotConnected(String),
    /// The connection ended before the answer did.
    Cut(String),
    /// The answer did not end in time.
    TimedOut,
    /// The answer was longer than we keep.
    TooLarge,
    /// The request could not be put together.
    NotSent(String),
}

/// One request and everything that came back.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// Its id, as sent in [`super::REQUEST_ID_HEADER`].
    pub id: String,
    /// When it was meant to be sent; latencies count from here.
    pub intended_at: Instant,
    /// When it was sent.
    pub sent_at: Instant,
    /// When the status and headers were there.
    pub head_at: Option<Instant>,
    /// When the first byte of the body was there.
    pub first_byte_at: Option<Instant>,
    /// When it was over.
    pub ended_at: Instant,
    /// The status, if there was an answer.
    pub status: Option<u16>,
    /// The headers of the answer.
    pub headers: HeaderMap,
    /// The endpoint that the answer names.
    pub served_by: Option<String>,
    /// The body, as far as it came.
    pub body: Vec<u8>,
    /// The frames of an event stream.
    pub frames: Vec<Frame>,
    /// How it ended.
    pub ending: Ending,
}

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
            headers: HeaderMap::new(),
            served_by: None,
            body: Vec::new(),
            frames: Vec::new(),
            ending: Ending::TimedOut,
        }
    }

    /// A header of the answer, if it is there and text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Whether the answer says that it is an event stream.
    pub fn is_event_stream(&self) -> bool {
        let content_type = self.headers.get("content-type");
        content_type.is_some_and(|kind| whole::is_event_stream(kind.as_bytes()))
    }

    /// Whether it was answered with 200 and came to its end; a stream must be whole, as [`whole::judge`] has it.
    pub fn is_success(&self) -> bool {
        let body = match self.ending {
            Ending::Complete => BodyEnd::Framed,
            _ => BodyEnd::Broken,
        };
        let whole = if self.is_event_stream() {
            let frames = self.frames.iter().map(|frame| frame.data.as_bytes());
            whole::judge(frames, body) == Verdict::Whole
        } else {
            body == BodyEnd::Framed
        };
        self.status == Some(200) && whole
    }

    /// Time from the intended send to the first byte of the body: for a stream, the time to first token.
    pub fn ttft(&self) -> Option<Duration> {
        Some(
            self.first_byte_at?
                .saturating_duration_since(self.intended_at),
        )
    }

    /// Time from the intended send to the end.
    pub fn latency(&self) -> Duration {
        self.ended_at.saturating_duration_since(self.intended_at)
    }

    /// The answer in a few words, for a report.
    pub fn describe(&self) -> String {
        let text = String::from_utf8_lossy(&self.body[..self.body.len().min(120)]);
        let text = text.trim();
        match (&self.status, &self.ending) {
            (Some(status), Ending::Complete) if text.is_empty() => format!("{status}, empty body"),
            (Some(status), Ending::Complete) => format!("{status}, {text:?}"),
            (Some(status), ending) => format!("{status}, then {ending:?}"),
            (None, ending) => format!("no answer: {ending:?}"),
        }
    }
}

/// What an error of reqwest says about the other side.
pub(super) fn ending_of(error: &reqwest::Error) -> Ending {
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
