//! How a request can fail. A stream that is not whole is a failure, however it ended.

use std::fmt;

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

/// Why a request is not counted as answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Failure {
    /// Connecting failed: refused, no answer, no handshake.
    NoConnection,
    /// No connection could be made, because this machine has no port or no descriptor left.
    ClientLimit,
    /// The connection ended before an answer began.
    ClosedBeforeAnswer,
    /// The connection ended in the middle of an answer.
    Cut,
    /// Not answered in time.
    TimedOut,
    /// Answered with this status, and not 200.
    Status(u16),
    /// The answer is not HTTP/1.1.
    NotHttp,
    /// Longer than the limit of its kind.
    TooLong,
    /// The answer is not the JSON of the API.
    NotJson,
    /// Status 200, but neither text nor a reason why there is none.
    NoAnswer,
    /// Status 200, but the body is an error.
    ErrorBody,
    /// A stream was asked for, something else came.
    NotStreamed,
    /// A stream contained an error event.
    ErrorEvent,
    /// The finish reason is that of an answer that was broken off, such as `abort`.
    Aborted,
    /// A stream ended without `[DONE]` and without a finish reason; with `strict`, without `[DONE]`.
    NoDone,
    /// A stream had no finish reason, and not all of its tokens.
    NoFinish,
    /// A stream had more text frames than its usage counts tokens, and some repeat those before.
    Repeated,
    /// A stream had text after its finish reason or after `[DONE]`: frames were reordered.
    OutOfOrder,
    /// The frames of a stream have different ids; only with `strict`.
    Mixed,
    /// The answer deviates from the API in another way; only with `strict`.
    Deviates,
    /// A connection that was kept from an earlier request ended before an answer began.
    ClosedWhenReused,
    /// The body is compressed by a coding that is not known here, or not as its content-encoding states.
    Encoded,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Status(code) => return write!(f, "status-{code}"),
            Self::NoConnection => "no-connection",
            Self::ClientLimit => "client-limit",
            Self::ClosedBeforeAnswer => "closed-before-answer",
            Self::Cut => "cut",
            Self::TimedOut => "timed-out",
            Self::NotHttp => "not-http",
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
            Self::Deviates => "deviates",
            Self::ClosedWhenReused => "closed-when-reused",
            Self::Encoded => "encoded",
        };
        f.pad(name)
    }
}

/// A failure, with its details.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// Its kind.
    pub kind: Failure,
    /// The error, or the beginning of the answer. Untrusted text.
    pub detail: String,
}

impl Failed {
    /// A failure with details.
    pub fn new(kind: Failure, detail: impl fmt::Display) -> Self {
        Self {
            kind,
            detail: detail.to_string(),
        }
    }

    /// A connection that could not be made.
    pub fn to_connect(error: &std::io::Error) -> Self {
        const OWN: [Errno; 3] = [Errno::EADDRNOTAVAIL, Errno::EMFILE, Errno::ENFILE];
        let own = error
            .raw_os_error()
            .is_some_and(|code| OWN.contains(&Errno::from_raw(code)));
        let kind = if own {
            Failure::ClientLimit
        } else {
            Failure::NoConnection
        };
        Self::new(kind, error)
    }

    /// A failure with the beginning of the answer.
    pub fn with_bytes(kind: Failure, bytes: &[u8]) -> Self {
        const SHOWN_BYTES: usize = 300;
        let shown = &bytes[..bytes.len().min(SHOWN_BYTES)];
        Self::new(kind, String::from_utf8_lossy(shown))
    }
}
