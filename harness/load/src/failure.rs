//! How a request can fail. A stream that is not whole is a failure, however it ended.

use std::fmt;

use poolproof_client::answer::Kind;
use poolproof_client::machine;
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
    /// Status 200, but the answer is not good; or any answer that is too long.
    Answer(Kind),
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
            Self::Answer(kind) => kind.name(),
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
        let kind = if machine::is_lack(error) {
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
