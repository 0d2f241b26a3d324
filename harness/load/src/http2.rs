//! HTTP/2, by hyper: many requests share a connection.

use std::cell::Cell;
use std::rc::{Rc, Weak};
use std::time::Instant;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::TokioIo;
use tokio::task::LocalSet;

use super::answer::{Answered, Asked, Reading};
use super::failure::{Failed, Failure};
use super::http1::{Listener, Outcome};
use super::transport::Io;

/// Requests that share a connection at most: servers allow a hundred and more (RFC 9113, section 6.5.2).
const STREAMS_MAX: usize = 100;

/// An open connection. Clones share it.
#[derive(Clone)]
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    open: Rc<Cell<usize>>,
}

/// A request that is under way on a connection.
struct Stream(Rc<Cell<usize>>);

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Runs hyper's background tasks on the thread of their connection.
#[derive(Clone)]
struct OnThisThread(Weak<LocalSet>);

impl<F: Future<Output: 'static> + 'static> hyper::rt::Executor<F> for OnThisThread {
    fn execute(&self, future: F) {
        if let Some(tasks) = self.0.upgrade() {
            tasks.spawn_local(future);
        }
    }
}

impl Connection {
    /// Shakes hands with a server; `tasks` drives the connection.
    pub(super) async fn new(io: Io, tasks: &Rc<LocalSet>) -> Result<Self, Failed> {
        let executor = OnThisThread(Rc::downgrade(tasks));
        let greeted = hyper::client::conn::http2::handshake(executor, TokioIo::new(io)).await;
        let (sender, connection) =
            greeted.map_err(|error| Failed::new(Failure::NoConnection, error))?;
        tasks.spawn_local(async move {
            // Every request on it gets the reason.
            let _ = connection.await;
        });
        Ok(Self {
            sender,
            open: Rc::default(),
        })
    }

    /// Whether it has ended.
    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Whether it can take another request.
    pub(super) fn has_room(&self) -> bool {
        self.open.get() < STREAMS_MAX
    }

    /// Sends a request and reads its answer.
    pub(super) async fn exchange(
        &mut self,
        request: http::Result<http::Request<Full<Bytes>>>,
        asked: Asked,
        listener: &mut impl Listener,
    ) -> Outcome {
        self.open.set(self.open.get() + 1);
        let _stream = Stream(self.open.clone());
        let answered = match request {
            Ok(request) => self.answer(request, asked, listener).await,
            Err(error) => Err(Failed::new(Failure::NoConnection, error)),
        };
        Outcome {
            answered,
            ended_at: Instant::now(),
            // It is shared already.
            reusable: false,
        }
    }

    async fn answer(
        &mut self,
        request: http::Request<Full<Bytes>>,
        asked: Asked,
        listener: &mut impl Listener,
    ) -> Result<Answered, Failed> {
        let closed = |error: hyper::Error| Failed::new(Failure::ClosedBeforeAnswer, error);
        self.sender.ready().await.map_err(closed)?;
        let response = self.sender.send_request(request).await.map_err(closed)?;
        let header = |name: &str| {
            response
                .headers()
                .get(name)
                .map(http::HeaderValue::as_bytes)
        };
        let served_by = header(listener.served_by_header());
        listener.head(served_by);
        let status = response.status().as_u16();
        let mut reading = Reading::new(asked, status, header("content-type"));
        let mut body = response.into_body();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| Failed::new(Failure::Cut, error))?;
            if let Some(data) = frame.data_ref() {
                reading.data(data, Instant::now(), |gap| listener.gap(gap))?;
            }
        }
        reading.end()
    }
}
