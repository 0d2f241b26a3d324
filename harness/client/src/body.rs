//! Request bodies on the wire: with a content-length, or chunked without one.

use bytes::Bytes;
use futures_util::stream;

use super::request::Body;

/// The chunk size of a body without content-length, in bytes.
const CHUNK_BYTES: usize = 16 << 10;

impl Body {
    /// Converts the body into the type of reqwest.
    pub(super) fn into_wire(self) -> reqwest::Body {
        match self {
            Body::Empty => reqwest::Body::default(),
            Body::Sized(bytes) => reqwest::Body::from(bytes),
            Body::Chunked(bytes) => {
                reqwest::Body::wrap_stream(stream::unfold(bytes, |mut rest: Bytes| async move {
                    if rest.is_empty() {
                        return None;
                    }
                    let chunk = rest.split_to(rest.len().min(CHUNK_BYTES));
                    Some((Ok::<_, std::convert::Infallible>(chunk), rest))
                }))
            }
        }
    }
}
