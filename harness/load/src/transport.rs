//! Connections to a server: TCP, with TLS for https.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use anyhow::{Context, Result};
use http::uri::{Authority, Scheme};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use url::{Position, Url};

use super::failure::{Failed, Failure};
use poolproof_model::workload::Http;

/// Where connections go.
#[derive(Clone)]
pub(super) struct Server {
    address: SocketAddr,
    /// Local addresses to connect from, in turn: each has ports of its own.
    sources: Vec<IpAddr>,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    origin: Origin,
}

/// Scheme, host and port of a server, as requests of HTTP/2 name them.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    pub(super) scheme: Scheme,
    pub(super) authority: Authority,
}

impl Origin {
    /// The origin of a url.
    pub(super) fn of(url: &Url) -> Result<Self> {
        let authority = &url[Position::BeforeHost..Position::AfterPort];
        Ok(Self {
            scheme: url.scheme().parse().context("its scheme")?,
            authority: authority.parse().context("its host and port")?,
        })
    }
}

/// The byte stream of a connection.
pub(super) enum Io {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

impl Server {
    /// The server of a url; its name is looked up once.
    pub(super) async fn of(url: &Url, sources: Vec<IpAddr>, http: Http) -> Result<Self> {
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
            "https" => Some(tls(host, http)?),
            _ => None,
        };
        Ok(Self {
            address,
            sources,
            tls,
            origin: Origin::of(url)?,
        })
    }

    /// Its scheme, host and port.
    pub(super) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Opens a connection; `number` chooses the local address.
    pub(super) async fn connect(&self, number: usize) -> Result<Io, Failed> {
        match tokio::time::timeout(CONNECT_TIMEOUT, self.try_connect(number)).await {
            Ok(connected) => connected.map_err(|error| Failed::to_connect(&error)),
            Err(_) => Err(Failed::new(
                Failure::NoConnection,
                format!("no connection within {CONNECT_TIMEOUT:?}"),
            )),
        }
    }

    async fn try_connect(&self, number: usize) -> io::Result<Io> {
        let socket = match self.address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        if let Some(source) = self.sources.get(number % self.sources.len().max(1)) {
            socket.bind(SocketAddr::new(*source, 0))?;
        }
        let stream = socket.connect(self.address).await?;
        stream.set_nodelay(true)?;
        Ok(match &self.tls {
            None => Io::Plain(stream),
            Some((connector, name)) => {
                Io::Tls(Box::new(connector.connect(name.clone(), stream).await?))
            }
        })
    }
}

/// TLS with the certificates that this machine trusts.
fn tls(host: &str, http: Http) -> Result<(TlsConnector, ServerName<'static>)> {
    let config = poolproof_client::tls::client_config();
    let mut config = config.context("reading the certificates that this machine trusts")?;
    config.alpn_protocols = vec![match http {
        Http::One => b"http/1.1".to_vec(),
        Http::Two => b"h2".to_vec(),
    }];
    let name = ServerName::try_from(host.to_owned())
        .with_context(|| format!("{host} cannot be the name of a certificate"))?;
    Ok((TlsConnector::from(Arc::new(config)), name))
}

impl Io {
    /// Whether writes are buffered until a flush.
    pub(super) fn is_buffered(&self) -> bool {
        matches!(self, Self::Tls(_))
    }
}

impl AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
