//! A connection that carries one request at a time.

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

    /// Reads the bytes that have arrived; 0 bytes mean that the connection has ended.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut TaskContext<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(into);
        let read = Pin::new(&mut self.0).poll_read(cx, &mut buffer);
        read.map_ok(|()| buffer.filled().len())
    }

    /// Whether it is still open and has received nothing. Makes no system call if nothing has arrived.
    pub(crate) fn is_idle(&mut self) -> bool {
        let mut byte = [0];
        let mut cx = TaskContext::from_waker(Waker::noop());
        self.poll_read(&mut cx, &mut byte).is_pending()
    }

    /// Sends a whole request. Bytes that the socket does not accept at once are copied, since the request's buffer is shared.
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
        if self.0.is_buffered() {
            self.0.flush().await
        } else {
            Ok(())
        }
    }
}
