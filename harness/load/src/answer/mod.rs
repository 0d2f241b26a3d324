//! Answers as the engine receives them: streams by [`poolproof_client::answer`], and what is no stream in one piece. The text is kept only
//! where the next turn of a session repeats it.

#[cfg(test)]
mod tests;

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

pub use poolproof_client::answer::{Answered, Asked};
use poolproof_client::answer::{Fault, Kind, Stream, document};
use poolproof_client::kept::{KEPT_LIMIT_BYTES, Kept};
use poolproof_client::whole::is_event_stream;

use super::failure::{Failed, Failure};

/// The longest answer that is not streamed and kept, in bytes.
const WHOLE_LIMIT_BYTES: usize = 8 << 20;
/// The longest answer that is one of results, such as vectors for 2,048 texts, in bytes.
const RESULTS_LIMIT_BYTES: usize = 64 << 20;
/// The most that is kept of an answer that failed, in bytes.
const FAILED_LIMIT_BYTES: usize = 4 << 10;

/// What an answer may take before it counts for the limit of all answers together, in bytes.
const COUNTED_FROM_BYTES: usize = 64 << 10;

/// The bytes of all answers of this process that are under way.
static UNDER_WAY: LazyLock<Arc<AtomicUsize>> = LazyLock::new(Arc::default);

/// An answer that is arriving.
#[derive(Debug)]
pub struct Reading {
    asked: Asked,
    status: u16,
    body: Body,
    /// What it takes, once that is much.
    kept: Option<Kept>,
}

#[derive(Debug)]
enum Body {
    /// Its bytes, and the content type.
    Whole(Vec<u8>, Option<Box<[u8]>>),
    Events(Box<Stream>),
}

impl Reading {
    /// An answer of which the head has come.
    pub fn new(asked: Asked, status: u16, content_type: Option<&[u8]>) -> Self {
        let may_stream = status == 200 && asked.api.generates();
        let is_stream = may_stream && content_type.is_some_and(is_event_stream);
        Self {
            asked,
            status,
            body: if is_stream {
                Body::Events(Box::new(Stream::new(asked)))
            } else {
                Body::Whole(Vec::new(), content_type.map(Box::from))
            },
            kept: None,
        }
    }

    /// Counts what it takes. Fails if all answers under way take too much.
    #[inline]
    fn keeps(&mut self) -> Result<(), Failed> {
        let bytes = match &self.body {
            Body::Whole(body, _) => body.capacity(),
            Body::Events(stream) => stream.held_bytes(),
        };
        if bytes < COUNTED_FROM_BYTES && self.kept.is_none() {
            return Ok(());
        }
        let kept = self
            .kept
            .get_or_insert_with(|| Kept::with(UNDER_WAY.clone()));
        if kept.set(bytes) {
            return Ok(());
        }
        let detail = format!(
            "it has {bytes} bytes so far, and all answers under way have more than {KEPT_LIMIT_BYTES}: send fewer at once"
        );
        Err(Failed::new(Failure::Answer(Kind::TooLong), detail))
    }

    /// Takes the bytes that arrived at `at`; `gap` receives the time between consecutive frames with text. Fails if reading on is useless.
    pub fn data(
        &mut self,
        bytes: &[u8],
        at: Instant,
        gap: impl FnMut(Duration),
    ) -> Result<(), Failed> {
        match &mut self.body {
            Body::Whole(body, _) => {
                let limit = match self.status {
                    200 if !self.asked.api.generates() => RESULTS_LIMIT_BYTES,
                    200 => WHOLE_LIMIT_BYTES,
                    _ => FAILED_LIMIT_BYTES,
                };
                let room = limit - body.len();
                body.extend_from_slice(&bytes[..bytes.len().min(room)]);
                if bytes.len() > room && self.status == 200 {
                    let detail = format!("its answer is longer than {limit} bytes");
                    return Err(Failed::new(Failure::Answer(Kind::TooLong), detail));
                }
            }
            Body::Events(stream) => stream.feed(bytes, at, gap)?,
        }
        self.keeps()
    }

    /// Judges an answer that has come to its end.
    pub fn end(self) -> Result<Answered, Failed> {
        match self.body {
            Body::Whole(body, _) if self.status != 200 => {
                Err(Failed::with_bytes(Failure::Status(self.status), &body))
            }
            Body::Whole(body, kind) => Ok(document(&body, kind.as_deref(), self.asked)?),
            Body::Events(stream) => Ok(stream.end()?),
        }
    }
}

impl From<Fault> for Failed {
    fn from(fault: Fault) -> Self {
        Self::new(Failure::Answer(fault.kind), fault.detail)
    }
}
