//! The client of the load engine: HTTP/1.1 straight on a socket.
//!
//! Why not reqwest or hyper: they read into one buffer per connection, which takes 21 KiB of memory for every open stream. A request
//! costs them 1.6 and 1.1 times as much as it costs wrk. Here all connections of a thread read into one buffer, and answers are parsed
//! in place.

mod body;
mod connection;
mod head;

pub(super) use connection::Connection;

use std::task::Poll;
use std::time::Instant;

use body::{Framing, Progress};
use head::Head;

use super::answer::{Answered, Asked, Reading};
use super::arrived::Arrived;
use super::failure::{Failed, Failure};
use super::http2::Again;
use poolproof_client::answer::Kind;

/// The read buffer that the connections of a thread share.
pub(super) type Buffer = std::cell::RefCell<Box<[u8]>>;

/// The most bytes that one read takes.
const READ_BYTES: usize = 64 << 10;

/// A buffer.
pub(super) fn buffer() -> Buffer {
    std::cell::RefCell::new(vec![0; READ_BYTES].into_boxed_slice())
}

/// Receives the events of an answer as it arrives.
pub(super) trait Listener {
    /// The header by which endpoints name themselves.
    fn served_by_header(&self) -> &str;
    /// The head has arrived; `served_by` is the endpoint that it names.
    fn head(&mut self, served_by: Option<&[u8]>);
    /// The time between two consecutive frames with text.
    fn gap(&mut self, gap: std::time::Duration);
    /// The head has a `retry-after`.
    fn retry_after(&mut self, _value: &[u8]) {}
}

/// An answer that was read to its end, or how far it came.
#[derive(Debug)]
pub(super) struct Outcome {
    /// The answer, or why it failed.
    pub(super) answered: Result<Answered, Failed>,
    /// When the last byte arrived, or the failure was seen.
    pub(super) ended_at: Instant,
    /// Whether the connection can take another request.
    pub(super) reusable: bool,
    /// Whether the request may be sent again on another connection.
    pub(super) again: Again,
}

/// Reads the answer to the request that was just sent on this connection.
pub(super) async fn receive(
    connection: &mut Connection,
    buffer: &Buffer,
    asked: Asked,
    listener: &mut impl Listener,
) -> Outcome {
    let mut answer = Arriving {
        asked,
        head: Vec::new(),
        body: None,
        reusable: true,
    };
    loop {
        // The buffer is borrowed for one read and its parsing, never across an await.
        let arrived = std::future::poll_fn(|cx| {
            let mut bytes = buffer.borrow_mut();
            match connection.poll_read(cx, &mut bytes) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Ok(n)) => {
                    Poll::Ready(answer.arrived(&bytes[..n], Instant::now(), listener))
                }
                Poll::Ready(Err(error)) => Poll::Ready(Some(answer.cut(error))),
            }
        })
        .await;
        if let Some(answered) = arrived {
            return Outcome {
                reusable: answer.reusable
                    && !matches!(&answered, Err(failed) if broken(failed.kind)),
                answered,
                ended_at: Instant::now(),
                again: Again::No,
            };
        }
    }
}

/// Reads an answer that arrives in these pieces, up to its end or that of its connection.
#[cfg(feature = "fuzz")]
pub(super) fn read<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
    asked: Asked,
    listener: &mut impl Listener,
) -> Result<Answered, Failed> {
    let mut answer = Arriving {
        asked,
        head: Vec::new(),
        body: None,
        reusable: true,
    };
    let mut pieces = pieces.into_iter();
    let answered = pieces.find_map(|piece| answer.arrived(piece, Instant::now(), listener));
    answered.unwrap_or_else(|| answer.cut("the end"))
}

/// Whether a connection is unusable after such a failure, because its answer was not read to its end.
fn broken(failure: Failure) -> bool {
    matches!(
        failure,
        Failure::ClosedBeforeAnswer
            | Failure::Cut
            | Failure::NotHttp
            | Failure::Answer(Kind::TooLong)
            | Failure::Encoded
    )
}

/// An answer of which a part has arrived.
struct Arriving {
    asked: Asked,
    /// The beginning of a head whose end has not arrived.
    head: Vec<u8>,
    body: Option<(Framing, Arrived)>,
    reusable: bool,
}

impl Arriving {
    /// Takes the bytes of one read, none at the end of the connection; the answer, if that was its last part.
    fn arrived(
        &mut self,
        bytes: &[u8],
        at: Instant,
        listener: &mut impl Listener,
    ) -> Option<Result<Answered, Failed>> {
        if bytes.is_empty() {
            return Some(self.cut("the server closed the connection"));
        }
        if self.body.is_some() {
            return self.body_arrived(bytes, at, listener);
        }
        let joined;
        let mut all = bytes;
        if !self.head.is_empty() {
            self.head.extend_from_slice(bytes);
            joined = std::mem::take(&mut self.head);
            all = &joined;
        }
        loop {
            match Head::parse(all, listener.served_by_header()) {
                Ok(None) => {
                    self.head = all.to_vec();
                    return None;
                }
                Err(failed) => return Some(Err(failed)),
                // 100 Continue and its like come before the answer.
                Ok(Some(head)) if head.status < 200 => all = &all[head.length..],
                Ok(Some(head)) => {
                    listener.head(head.served_by);
                    if let Some(value) = head.retry_after {
                        listener.retry_after(value);
                    }
                    self.reusable = head.keep_alive;
                    let reading = Reading::new(self.asked, head.status, head.content_type);
                    match Arrived::new(reading, head.coding, head.location) {
                        Ok(arrived) => self.body = Some((head.framing, arrived)),
                        Err(failed) => return Some(Err(failed)),
                    }
                    return self.body_arrived(&all[head.length..], at, listener);
                }
            }
        }
    }

    fn body_arrived(
        &mut self,
        bytes: &[u8],
        at: Instant,
        listener: &mut impl Listener,
    ) -> Option<Result<Answered, Failed>> {
        let (framing, arrived) = self.body.as_mut()?;
        let fed = framing.feed(bytes, |data| {
            arrived.data(data, at, |gap| listener.gap(gap))
        });
        match fed {
            Ok(Progress::More) => None,
            Ok(Progress::Ended(behind)) => {
                // Bytes after an answer would be taken for the next answer.
                self.reusable &= behind == 0;
                self.body.take().map(|(_, arrived)| arrived.end())
            }
            Ok(Progress::Broken) => Some(Err(Failed::with_bytes(Failure::NotHttp, bytes))),
            Err(failed) => Some(Err(failed)),
        }
    }

    /// The connection has ended.
    fn cut(&mut self, why: impl std::fmt::Display) -> Result<Answered, Failed> {
        self.reusable = false;
        match self.body.take() {
            Some((framing, arrived)) if framing.ends_with_connection() => arrived.end(),
            Some(_) => Err(Failed::new(Failure::Cut, why)),
            None if self.head.is_empty() => Err(Failed::new(Failure::ClosedBeforeAnswer, why)),
            None => Err(Failed::new(Failure::Cut, why)),
        }
    }
}

#[cfg(test)]
mod properties {
    use super::*;
    use poolproof_property::{config, pieces};
    use proptest::collection::vec;
    use proptest::prelude::*;

    struct Ignores;

    impl Listener for Ignores {
        fn served_by_header(&self) -> &str {
            "x-served-by"
        }
        fn head(&mut self, _: Option<&[u8]>) {}
        fn gap(&mut self, _: std::time::Duration) {}
    }

    /// What becomes of an answer that arrives in pieces of these sizes, all at one time.
    fn read(wire: &[u8], sizes: &[usize], at: Instant) -> Result<Answered, Failure> {
        let mut answer = Arriving {
            asked: Asked {
                stream: true,
                text: true,
                ..Asked::default()
            },
            head: Vec::new(),
            body: None,
            reusable: true,
        };
        let answered =
            pieces(wire, sizes).find_map(|piece| answer.arrived(piece, at, &mut Ignores));
        answered
            .unwrap_or_else(|| answer.cut("the end"))
            .map_err(|failed| failed.kind)
    }

    /// A streamed answer with these texts, its body in chunks of these sizes.
    fn streamed(texts: &[String], chunks: &[usize]) -> Vec<u8> {
        let mut body = String::new();
        for text in texts {
            let frame = serde_json::json!({"id": "c-1", "choices": [{"finish_reason": null, "delta": {"content": text}}]});
            body += &format!("data: {frame}\n\n");
        }
        body +=
            "data: {\"id\":\"c-1\",\"choices\":[{\"finish_reason\":\"stop\",\"delta\":{}}]}\n\n";
        body += "data: [DONE]\n\n";
        let mut wire =
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
                         transfer-encoding: chunked\r\n\r\n"
                .to_vec();
        for chunk in pieces(body.as_bytes(), chunks) {
            wire.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            wire.extend_from_slice(chunk);
            wire.extend_from_slice(b"\r\n");
        }
        wire.extend_from_slice(b"0\r\n\r\n");
        wire
    }

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn a_stream_is_read_alike_at_every_split(
            texts in vec("\\PC{1,8}|[\"\\\\\n]{1,3}", 1..8),
            chunks in vec(1_usize..200, 1..5),
            sizes in vec(1_usize..200, 1..6),
        ) {
            let now = Instant::now();
            let wire = streamed(&texts, &chunks);
            let answered = read(&wire, &sizes, now);
            prop_assert_eq!(&answered, &read(&wire, &[usize::MAX], now));
            let Ok(answered) = answered else {
                return Err(TestCaseError::fail(format!("{answered:?}")));
            };
            let text = format!("\"{}\"", String::from_utf8_lossy(&answered.text));
            prop_assert_eq!(serde_json::from_str::<String>(&text).ok(), Some(texts.concat()));
            prop_assert_eq!(answered.chunks, texts.len() as u64);
        }

        #[test]
        fn a_damaged_stream_is_read_alike_at_every_split(
            texts in vec("[a-z]{1,8}", 1..4),
            chunks in vec(1_usize..200, 1..5),
            damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            end in any::<prop::sample::Index>(),
            sizes in vec(1_usize..200, 1..6),
        ) {
            let now = Instant::now();
            let mut wire = streamed(&texts, &chunks);
            for (at, byte) in damage {
                let at = at.index(wire.len());
                wire[at] = byte;
            }
            wire.truncate(end.index(2 * wire.len()));
            prop_assert_eq!(read(&wire, &sizes, now), read(&wire, &[usize::MAX], now));
        }
    }
}
