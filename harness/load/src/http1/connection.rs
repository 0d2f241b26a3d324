//! A connection on which one request follows the other.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

use crate::transport::Io;

/// An open connection.
pub(crate) struct Connection(Io);

impl Connection {
    /// A connection over this.
    pub(crate) fn new(io: Io) -> Self {
        Self(io)
    }

    /// Reads what has arrived; 0 bytes are the end.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut TaskContext<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(into);
        let read = Pin::new(&mut self.0).poll_read(cx, &mut buffer);
        read.map_ok(|()| buffer.filled().len())
    }

    /// Whether it is still open and silent, as an idle connection is to be. Asks nothing of the system where nothing has arrived.
    pub(crate) fn is_idle(&mut self) -> bool {
        let mut byte = [0];
        let mut cx = TaskContext::from_waker(Waker::noop());
        self.poll_read(&mut cx, &mut byte).is_pending()
    }

    /// Sends all of a request. What the socket does not take at once is copied, since the room that it lies in is shared.
    pub(crate) async fn send(&mut self, request: &RefCell<Vec<u8>>) -> io::Result<()> {
        let rest = std::future::poll_fn(|cx| {
            let request = request.borrow();
            Poll::Ready(match Pin::new(&mut self.0).poll_write(cx, &request) {
                Poll::Ready(Ok(n)) => Ok(request[n..].to_vec()),
                Poll::Ready(Err(error)) => Err(error),
                Poll::Pending => Ok(request.clone()),
            })
        })
        .await?;
        if !rest.is_empty() {
            self.0.write_all(&rest).await?;
        }
        match self.0.is_buffered() {
            true => self.0.flush().await,
            false => Ok(()),
        }
    }
}
