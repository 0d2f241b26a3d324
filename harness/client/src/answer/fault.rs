//! Why an answer of status 200, complete by HTTP, is not counted as good.

use std::fmt;

use poolproof_model::remark::Remark;
use serde::{Deserialize, Serialize};

/// The kind of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// Longer than the limit of its kind: an event, the text, or the head.
    TooLong,
    /// Not the JSON of the API.
    NotJson,
    /// Neither text nor a reason why there is none.
    NoAnswer,
    /// The body is an error.
    ErrorBody,
    /// A stream was asked for, something else came.
    NotStreamed,
    /// The stream contained an error.
    ErrorEvent,
    /// The finish reason is that of an answer that was broken off, such as `abort`.
    Aborted,
    /// The stream ended without `[DONE]` and without a finish reason; if deviations are failures, without `[DONE]`.
    NoDone,
    /// The stream had text and no finish reason, and not all tokens.
    NoFinish,
    /// The stream had more text frames than its usage counts tokens, and some repeat those before.
    Repeated,
    /// Text after its finish reason or after `[DONE]`: frames were reordered.
    OutOfOrder,
    /// The frames have different ids. Only if deviations are failures.
    Mixed,
    /// Not one sound result for each text: too few or too many, an index twice, vectors of other lengths, no numbers.
    Incomplete,
    /// Another deviation from the API. Only if deviations are failures.
    Deviates,
}

impl Kind {
    /// The name in records.
    pub fn name(self) -> &'static str {
        match self {
            Self::TooLong => "too-long",
            Self::NotJson => "not-json",
            Self::NoAnswer => "no-answer",
            Self::ErrorBody => "error-body",
            Self::NotStreamed => "not-streamed",
            Self::ErrorEvent => "error-event",
            Self::Aborted => "aborted",
            Self::NoDone => "no-done",
            Self::NoFinish => "no-finish",
            Self::Repeated => "repeated",
            Self::OutOfOrder => "out-of-order",
            Self::Mixed => "mixed",
            Self::Incomplete => "incomplete",
            Self::Deviates => "deviates",
        }
    }
}

/// A fault, with its details.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Its kind.
    pub kind: Kind,
    /// What was wrong, with the beginning of the answer. Untrusted text.
    pub detail: String,
}

/// The most bytes of an answer that a detail has.
const SHOWN_BYTES: usize = 300;

impl Fault {
    /// A fault with details.
    pub fn new(kind: Kind, detail: impl fmt::Display) -> Self {
        Self {
            kind,
            detail: detail.to_string(),
        }
    }

    /// A fault with the beginning of what came.
    pub fn with_bytes(kind: Kind, bytes: &[u8]) -> Self {
        Self::new(kind, shown(bytes))
    }

    /// A deviation where these are failures.
    pub(super) fn of(remark: Remark) -> Self {
        let kind = match remark {
            Remark::NoDone | Remark::DoneUnterminated => Kind::NoDone,
            Remark::IdsDiffer => Kind::Mixed,
            Remark::NoFinish => Kind::NoFinish,
            _ => Kind::Deviates,
        };
        Self::new(kind, format!("{}: {}", remark.name(), remark.in_words()))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

/// The beginning of what came, as text.
pub fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN_BYTES)]).into_owned()
}
