//! Connections to one server, plain or with TLS.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Duration;

use anyhow::{Context, Result};
use rustls::pki_types::ServerName;
use rustls_platform_verifier::ConfigVerifierExt;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use url::Url;

use crate::load::failure::{Failed, Failure};

/// Where connections go.
#[derive(Clone)]
pub(in crate::load) struct Server {
    address: SocketAddr,
    /// Local addresses to connect from, in turn: each has ports of its own.
    sources: Vec<IpAddr>,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

/// An open connection.
pub(in crate::load) struct Connection {
    io: Io,
}

enum Io {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

impl Server {
    /// The server of a url; its name is looked up once.
    pub(in crate::load) async fn of(url: &Url, sources: Vec<IpAddr>) -> Result<Self> {
        let host = url.host_str().context("it has no host")?;
        let host = host.trim_matches(['[', ']']);
        let port = url.port_or_known_default().context("it has no port")?;
        let mut addresses = tokio::net::lookup_host((host, port))
            .await
            .with_context(|| format!("looking up {host}"))?;
        let address = addresses
            .next()
            .with_context(|| format!("{host} has no address"))?;
        let tls = match url.scheme() {
            "https" => {
                // An error means that a provider is installed already.
                let _ = rustls::crypto::ring::default_provider().install_default();
                let mut config = rustls::ClientConfig::with_platform_verifier()
                    .context("reading the certificates that this machine trusts")?;
                config.alpn_protocols = vec![b"http/1.1".to_vec()];
                let name = ServerName::try_from(host.to_owned())
                    .with_context(|| format!("{host} cannot be the name of a certificate"))?;
                Some((TlsConnector::from(Arc::new(config)), name))
            }
            _ => None,
        };
        Ok(Self {
            address,
            sources,
            tls,
        })
    }

    /// Opens a connection; `number` chooses the local address.
    pub(in crate::load) async fn connect(&self, number: usize) -> Result<Connection, Failed> {
        match tokio::time::timeout(CONNECT_TIMEOUT, self.try_connect(number)).await {
            Ok(connected) => connected.map_err(|error| Failed::to_connect(&error)),
            Err(_) => Err(Failed::new(
                Failure::NoConnection,
                format!("no connection within {CONNECT_TIMEOUT:?}"),
            )),
        }
    }

    async fn try_connect(&self, number: usize) -> io::Result<Connection> {
        let socket = match self.address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        if let Some(source) = self.sources.get(number % self.sources.len().max(1)) {
            socket.bind(SocketAddr::new(*source, 0))?;
        }
        let stream = socket.connect(self.address).await?;
        stream.set_nodelay(true)?;
        let io = match &self.tls {
            None => Io::Plain(stream),
            Some((connector, name)) => {
                Io::Tls(Box::new(connector.connect(name.clone(), stream).await?))
            }
        };
        Ok(Connection { io })
    }
}

impl Connection {
    /// Reads what has arrived; 0 bytes are the end.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut TaskContext<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(into);
        let read = match &mut self.io {
            Io::Plain(stream) => Pin::new(stream).poll_read(cx, &mut buffer),
            Io::Tls(stream) => Pin::new(stream).poll_read(cx, &mut buffer),
        };
        read.map_ok(|()| buffer.filled().len())
    }

    /// Whether it is still open and silent, as an idle connection is to be. Asks nothing of the system where nothing has arrived.
    pub(in crate::load) fn is_idle(&mut self) -> bool {
        let mut byte = [0];
        let mut cx = TaskContext::from_waker(Waker::noop());
        self.poll_read(&mut cx, &mut byte).is_pending()
    }

    /// Sends all of a request. What the socket does not take at once is copied, since the room that it lies in is shared.
    pub(in crate::load) async fn send(
        &mut self,
        request: &std::cell::RefCell<Vec<u8>>,
    ) -> io::Result<()> {
        let rest = std::future::poll_fn(|cx| {
            let request = request.borrow();
            Poll::Ready(match self.poll_write(cx, &request) {
                Poll::Ready(Ok(n)) => Ok(request[n..].to_vec()),
                Poll::Ready(Err(error)) => Err(error),
                Poll::Pending => Ok(request.clone()),
            })
        })
        .await?;
        match &mut self.io {
            Io::Plain(stream) if !rest.is_empty() => stream.write_all(&rest).await,
            Io::Plain(_) => Ok(()),
            Io::Tls(stream) => {
                stream.write_all(&rest).await?;
                stream.flush().await
            }
        }
    }

    fn poll_write(&mut self, cx: &mut TaskContext<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.io {
            Io::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Io::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }
}
