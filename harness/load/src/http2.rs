//! HTTP/2, by h2: many requests share a connection, as many as its server allows.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::Reason;
use h2::client::{Builder, SendRequest};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;
use tokio::task::LocalSet;

use super::answer::{Answered, Asked, Reading};
use super::arrived::Arrived;
use super::failure::{Failed, Failure};
use super::http1::{Listener, Outcome};
use super::transport::Io;

/// Requests that share a connection at most, if its server allows as many or more (RFC 9113, section 6.5.2).
const STREAMS_MAX: usize = 100;
/// Bytes that a server may send ahead, in a stream and in all.
const STREAM_WINDOW_BYTES: u32 = 2 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
/// The longest list of headers, in bytes, uncompressed (RFC 9113, section 10.5.1): as long as a head of HTTP/1.1. h2 takes 16 MiB by default,
/// which a few compressed bytes can stand for.
const HEADERS_LIMIT_BYTES: u32 = 64 << 10;
/// The longest wait for the SETTINGS frame of a server, which it sends first (RFC 9113, section 3.4).
const SETTINGS_TIMEOUT: Duration = Duration::from_secs(10);

/// An open connection. Clones share it.
#[derive(Clone)]
pub(super) struct Connection {
    sender: SendRequest<Bytes>,
    state: Rc<State>,
}

#[derive(Default)]
struct State {
    /// Requests under way.
    open: Cell<usize>,
    /// Requests that the server allows at once.
    allowed: Cell<usize>,
    /// Whether it takes no more requests.
    ended: Cell<bool>,
    /// Why it ended.
    why: RefCell<String>,
}

/// A request that is under way on a connection.
struct Stream(Rc<State>);

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get() - 1);
    }
}

/// Why there is no answer.
struct Unanswered {
    failed: Failed,
    /// Whether the server has certainly not processed the request, so that it may be sent again (RFC 9113, section 8.7).
    again: Again,
}

/// Whether a request may be sent again on another connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Again {
    /// No: the server may have processed it.
    #[default]
    No,
    /// It was not sent, since the connection takes no more requests.
    Unsent,
    /// The server refused it without processing it.
    Refused,
}

impl Connection {
    /// Shakes hands with a server, up to its SETTINGS; `tasks` drives the connection.
    pub(super) async fn new(io: Io, tasks: &Rc<LocalSet>) -> Result<Self, Failed> {
        let first = Rc::default();
        let io = Watched {
            io,
            first: Rc::clone(&first),
        };
        let mut builder = Builder::new();
        builder
            .enable_push(false)
            // None before the server has named its limit.
            .initial_max_send_streams(0)
            .max_header_list_size(HEADERS_LIMIT_BYTES)
            .initial_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
        let greeted = builder.handshake(io).await;
        let (sender, mut connection) =
            greeted.map_err(|error| Failed::new(Failure::NoConnection, error))?;
        let state = Rc::new(State::default());
        let (opened, is_open) = oneshot::channel();
        let of_task = state.clone();
        tasks.spawn_local(async move {
            let mut opened = Some(opened);
            let ended = std::future::poll_fn(|cx| {
                let ended = Pin::new(&mut connection).poll(cx);
                of_task
                    .allowed
                    .set(connection.max_concurrent_send_streams());
                if of_task.allowed.get() > 0 && ended.is_pending() {
                    // The other side is gone if it gave up waiting.
                    opened.take().map(|opened| opened.send(()));
                }
                ended
            })
            .await;
            of_task.ended.set(true);
            let why = ended.err().map(|error| error.to_string());
            of_task.why.replace(why.unwrap_or_default());
        });
        match tokio::time::timeout(SETTINGS_TIMEOUT, is_open).await {
            Ok(Ok(())) => Ok(Self { sender, state }),
            Ok(Err(_)) => Err(no_http2(&first.borrow(), &state.why.borrow())),
            Err(_) => Err(no_http2(&first.borrow(), "no SETTINGS in time")),
        }
    }

    /// Whether it takes no more requests.
    pub(super) fn is_closed(&self) -> bool {
        self.state.ended.get()
    }

    /// Requests under way.
    pub(super) fn open(&self) -> usize {
        self.state.open.get()
    }

    /// Whether it can take another request now.
    pub(super) fn has_room(&self) -> bool {
        self.open() < self.state.allowed.get().min(STREAMS_MAX)
    }

    /// Sends a request and reads its answer.
    pub(super) async fn exchange(
        &mut self,
        request: http::Result<http::Request<()>>,
        body: Bytes,
        asked: Asked,
        listener: &mut impl Listener,
    ) -> Outcome {
        self.state.open.set(self.open() + 1);
        let _stream = Stream(self.state.clone());
        let answered = match request {
            Ok(request) => self.answer(request, body, asked, listener).await,
            Err(error) => Err(Failed::new(Failure::NoConnection, error).into()),
        };
        let (answered, again) = match answered {
            Ok(answered) => (Ok(answered), Again::No),
            Err(unanswered) => (Err(unanswered.failed), unanswered.again),
        };
        Outcome {
            answered,
            ended_at: Instant::now(),
            // It is shared already.
            reusable: false,
            again,
        }
    }

    async fn answer(
        &mut self,
        request: http::Request<()>,
        body: Bytes,
        asked: Asked,
        listener: &mut impl Listener,
    ) -> Result<Answered, Unanswered> {
        let ready = std::future::poll_fn(|cx| self.sender.poll_ready(cx)).await;
        let sent = ready.and_then(|()| self.sender.send_request(request, false));
        let (response, mut stream) = sent.map_err(|error| {
            // It takes no more: none of these was sent.
            self.state.ended.set(true);
            Unanswered {
                failed: Failed::new(Failure::ClosedBeforeAnswer, error),
                again: Again::Unsent,
            }
        })?;
        // If that fails, the answer has the reason: a server may refuse a body before it has all of it.
        let _ = stream.send_data(body, true);
        let response = response.await.map_err(|error| self.refused(&error))?;
        let header = |name: &str| {
            response
                .headers()
                .get(name)
                .map(http::HeaderValue::as_bytes)
        };
        let served_by = header(listener.served_by_header());
        listener.head(served_by);
        if let Some(value) = header("retry-after") {
            listener.retry_after(value);
        }
        let status = response.status().as_u16();
        let reading = Reading::new(asked, status, header("content-type"));
        let location = header("location").filter(|_| (300..400).contains(&status));
        let mut arrived = Arrived::new(reading, header("content-encoding"), location)?;
        let mut body = response.into_body();
        while let Some(data) = body.data().await {
            let data = match data {
                Ok(data) => data,
                // A server that has answered may stop the upload so (RFC 9113, section 8.1).
                Err(error) if error.is_reset() && error.reason() == Some(Reason::NO_ERROR) => break,
                Err(error) => return Err(Failed::new(Failure::Cut, error).into()),
            };
            // Fails only for more than was received.
            let _ = body.flow_control().release_capacity(data.len());
            arrived.data(&data, Instant::now(), |gap| listener.gap(gap))?;
        }
        Ok(arrived.end()?)
    }

    /// A request that got no answer.
    fn refused(&self, error: &h2::Error) -> Unanswered {
        // A GOAWAY ends the streams above its last id only, and no other error of a stream is one.
        let left_out = error.is_remote() && error.is_go_away();
        let refused = error.is_remote() && error.reason() == Some(Reason::REFUSED_STREAM);
        if left_out {
            self.state.ended.set(true);
        }
        Unanswered {
            failed: Failed::new(Failure::ClosedBeforeAnswer, error),
            again: if left_out || refused {
                Again::Refused
            } else {
                Again::No
            },
        }
    }
}

impl From<Failed> for Unanswered {
    fn from(failed: Failed) -> Self {
        Self {
            failed,
            again: Again::No,
        }
    }
}

/// Why a server did not shake hands.
fn no_http2(first: &[u8], why: &str) -> Failed {
    let use_one = "`http = \"1.1\"` in the workload uses HTTP/1.1";
    let detail = if first.starts_with(b"HTTP/") {
        let line = first.split(|byte| *byte == b'\r').next();
        let line = String::from_utf8_lossy(line.unwrap_or_default());
        format!("the server answered {line:?}, so it does not speak HTTP/2 here: {use_one}")
    } else if first.is_empty() {
        format!("no HTTP/2 handshake ({why}): perhaps the server does not speak HTTP/2; {use_one}")
    } else {
        format!("no HTTP/2 handshake: {why}")
    };
    Failed::new(Failure::NoConnection, detail)
}

/// A byte stream whose first bytes are kept.
struct Watched {
    io: Io,
    first: Rc<RefCell<Vec<u8>>>,
}

/// As many as the first line of an answer in HTTP/1.1 takes.
const FIRST_BYTES: usize = 40;

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, buffer);
        let mut first = self.first.borrow_mut();
        if first.len() < FIRST_BYTES {
            let room = FIRST_BYTES - first.len();
            let new = &buffer.filled()[before..];
            first.extend_from_slice(&new[..new.len().min(room)]);
        }
        read
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
