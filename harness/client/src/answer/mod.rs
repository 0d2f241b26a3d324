//! Answers of the APIs of inference servers, read as they arrive and judged at their end. The load engine and the suites read and judge every stream by
//! this code, over any version of HTTP.
//!
//! A stream is good if a client with a common SDK gets the whole answer from it: text or another form of token, a finish reason that is
//! no breaking off, and no error. What deviates from the API and is accepted by the SDKs makes a [`Remark`], or a [`Fault`] where
//! [`Asked::strict`] is set.
//!
//! Sources: OpenAI API, streaming; openai-python `_streaming.py` (`[DONE]` by its beginning, an error in any frame or in an event
//! `error`); openai-node `core/streaming.ts`; WHATWG HTML, section 9.2.6. Times: vLLM, `benchmarks/lib/endpoint_request_func.py`:
//! an answer ends with its last chunk that has choices, not with a later usage chunk or the end of the connection.
//!
//! Only what the judgement needs is kept, so that ten thousand open streams cost little.

mod chunk;
mod fault;
mod lenient;
mod meaning;
mod pattern;
mod repeats;
mod results;
mod state;
#[cfg(test)]
mod tests;
mod whole;

use std::time::{Duration, Instant};

use poolproof_model::api::Api;
use poolproof_model::remark::Remarks;

use crate::sse::{LIMIT_BYTES, Splitter};

pub use fault::{Fault, Kind, shown};
pub use poolproof_model::remark::Remark;
use state::State;
pub use whole::document;

/// The longest text that is kept of a stream, in bytes.
const TEXT_LIMIT_BYTES: usize = 1 << 20;

/// What a request asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// The API by which the answer is read.
    pub api: Api,
    /// A stream.
    pub stream: bool,
    /// That the text of the answer is kept.
    pub text: bool,
    /// The tokens of the answer, if they are known.
    pub tokens: Option<u32>,
    /// That deviations from the API are faults.
    pub strict: bool,
    /// A result for each of this many texts, where a model does not write the answer; 0 if it is not known.
    pub inputs: u32,
    /// This many of these results, the best ones, if not all; 0 if all.
    pub top: u32,
    /// Vectors of this length; 0 for any.
    pub dimensions: u32,
}

/// A good answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answered {
    /// When its first token came, if it was streamed and had one: text, reasoning, or another form of token.
    pub first_token_at: Option<Instant>,
    /// When the first token came that is no reasoning.
    pub first_answer_at: Option<Instant>,
    /// When its last token came.
    pub last_token_at: Option<Instant>,
    /// Whether its first token was reasoning.
    pub reasoned: bool,
    /// When the last chunk with a token or a finish reason came.
    pub ended_at: Option<Instant>,
    /// Frames with a token.
    pub chunks: u64,
    /// Of these, those that arrived in the same read as the previous one: something on the path is buffering.
    pub together: u64,
    /// Tokens of the prompt and of the answer, by a usage that is believed.
    pub usage: Option<(u64, u64)>,
    /// Its content, if that was to be kept: the inside of a JSON string, as the server wrote it.
    pub text: Vec<u8>,
    /// The first finish reason.
    pub finish: Option<String>,
    /// What is worth a remark.
    pub remarks: Remarks,
}

impl Answered {
    /// Tokens of the answer: as counted by the server, else one for each chunk.
    pub fn output_tokens(&self) -> u64 {
        self.usage.map_or(self.chunks, |(_, output)| output)
    }

    /// The kept text.
    pub fn text(&self) -> String {
        let inside = String::from_utf8_lossy(&self.text);
        serde_json::from_str(&format!("\"{inside}\"")).unwrap_or_else(|_| inside.into_owned())
    }
}

/// A stream that is arriving.
#[derive(Debug)]
pub struct Stream {
    splitter: Splitter,
    state: State,
    /// Whether any byte has come.
    has_begun: bool,
}

impl Stream {
    /// A stream of which nothing has come.
    pub fn new(asked: Asked) -> Self {
        Self {
            splitter: Splitter::default(),
            state: State::new(asked),
            has_begun: false,
        }
    }

    /// Takes the bytes that arrived at `at`; `gap` receives the time between consecutive frames with a token. Fails if reading on is
    /// useless.
    #[inline]
    pub fn feed(
        &mut self,
        bytes: &[u8],
        at: Instant,
        mut gap: impl FnMut(Duration),
    ) -> Result<(), Fault> {
        self.has_begun |= !bytes.is_empty();
        let state = &mut self.state;
        self.splitter
            .feed(bytes, |event| state.event(event, at, &mut gap));
        if self.splitter.truncated() {
            let detail = format!("its event is longer than {} bytes", LIMIT_BYTES);
            Err(Fault::new(Kind::TooLong, detail))
        } else if self.state.text_bytes() > TEXT_LIMIT_BYTES {
            let detail = format!("its text is longer than {TEXT_LIMIT_BYTES} bytes");
            Err(Fault::new(Kind::TooLong, detail))
        } else {
            Ok(())
        }
    }

    /// The bytes of an event that has not ended, and of the kept text.
    pub fn held_bytes(&self) -> usize {
        self.splitter.held_bytes() + self.state.text_bytes()
    }

    /// Judges the stream. Its body has ended as HTTP frames it.
    pub fn end(self) -> Result<Answered, Fault> {
        let Self {
            splitter,
            mut state,
            has_begun,
        } = self;
        if !has_begun {
            return Err(Fault::new(Kind::NoAnswer, "empty body of an event stream"));
        }
        let at = Instant::now();
        let rest = splitter.end(|event| state.event(event, at, &mut |_| ()));
        state.end(&rest)
    }
}
