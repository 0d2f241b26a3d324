//! The way to a server: its addresses, in turn, through a proxy if there is one, and TLS for https.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use poolproof_model::target::Target;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use url::Url;

use crate::tls;

pub use crate::io::Io;

/// The time after which the next address is tried while an attempt is under way (RFC 8305, section 8: 250 ms recommended).
const NEXT_ADDRESS_AFTER: Duration = Duration::from_millis(250);
/// The longest head of a proxy's answer, in bytes.
const PROXY_HEAD_LIMIT_BYTES: usize = 16 << 10;

/// The protocol that a connection is for, as ALPN names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

/// A way to a server. Clones share what is known of its addresses.
#[derive(Clone)]
pub struct Route {
    addresses: Arc<[Address]>,
    /// The authority that a proxy connects to, and its own login.
    tunnel: Option<(String, Option<String>)>,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    protocol: Protocol,
}

struct Address {
    address: SocketAddr,
    /// Whether the last attempt failed: it is then tried after the others.
    failed: AtomicBool,
}

/// A connection that could not be made.
#[derive(Debug)]
pub struct Unconnected {
    /// The address that was tried last.
    pub address: Option<SocketAddr>,
    /// The error.
    pub error: io::Error,
}

impl fmt::Display for Unconnected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(address) => write!(f, "{address}: {}", self.error),
            None => write!(f, "{}", self.error),
        }
    }
}

impl Route {
    /// The way to a url of a target; names are looked up once.
    pub async fn find(target: &Target, url: &Url, protocol: Protocol) -> Result<Self> {
        let host = url.host_str().context("it has no host")?;
        let port = url.port_or_known_default().context("it has no port")?;
        let proxy = target.access.proxy.of(url);
        let (at, at_port) = match &proxy {
            Some(proxy) => (
                proxy.host_str().context("its proxy has no host")?,
                proxy.port_or_known_default().unwrap_or(80),
            ),
            None => (host, port),
        };
        let at = at.trim_matches(['[', ']']);
        let mut addresses: Vec<SocketAddr> = Vec::new();
        let found = tokio::net::lookup_host((at, at_port)).await;
        for address in found.with_context(|| format!("looking up {at}"))? {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        ensure!(!addresses.is_empty(), "{at} has no address");
        let tls = match url.scheme() {
            "https" => Some(connector(target, url, protocol)?),
            _ => None,
        };
        let login = proxy.as_ref().and_then(proxy_login);
        // A proxy forwards plain requests of HTTP/1.1 itself.
        let tunnel = proxy.is_some() && (tls.is_some() || protocol == Protocol::Http2);
        Ok(Self {
            addresses: addresses.into_iter().map(Address::new).collect(),
            tunnel: tunnel.then(|| (format!("{host}:{port}"), login)),
            tls,
            protocol,
        })
    }

    /// How many addresses the server has.
    pub fn addresses(&self) -> usize {
        self.addresses.len()
    }

    /// Opens a connection, the one of this `number`: connections go to the addresses in turn, and from the local addresses `sources` in
    /// turn, if there are any. If an address cannot be reached, the next one is tried.
    pub async fn connect(&self, number: usize, sources: &[IpAddr]) -> Result<Io, Unconnected> {
        let mut stream = self.dial(number, sources).await?;
        let failed = |error| Unconnected {
            address: None,
            error,
        };
        if let Some((authority, login)) = &self.tunnel {
            let tunnel = tunnel(&mut stream, authority, login.as_deref());
            tunnel.await.map_err(failed)?;
        }
        let Some((connector, name)) = &self.tls else {
            return Ok(Io::Plain(stream));
        };
        let tls = connector.connect(name.clone(), stream).await;
        let tls = tls.map_err(failed)?;
        if self.protocol == Protocol::Http2 && tls.get_ref().1.alpn_protocol() != Some(b"h2") {
            let error = rustls::Error::NoApplicationProtocol;
            return Err(failed(io::Error::new(io::ErrorKind::InvalidData, error)));
        }
        Ok(Io::Tls(Box::new(tls)))
    }

    /// Connects to one of its addresses, and hangs up.
    pub async fn reach(&self) -> Result<(), Unconnected> {
        self.dial(0, &[]).await.map(drop)
    }

    async fn dial(&self, number: usize, sources: &[IpAddr]) -> Result<TcpStream, Unconnected> {
        let source = (!sources.is_empty()).then(|| sources[number % sources.len()]);
        // Each address is met from each source.
        let first = number / sources.len().max(1);
        let count = self.addresses.len();
        let in_turn = (0..count).map(|step| &self.addresses[(first + step) % count]);
        let (good, bad): (Vec<&Address>, Vec<&Address>) = in_turn
            .filter(|it| source.is_none_or(|source| source.is_ipv4() == it.address.is_ipv4()))
            .partition(|it| !it.failed.load(Ordering::Relaxed));
        let mut left = good.into_iter().chain(bad);
        let mut under_way = FuturesUnordered::new();
        let mut failed = Unconnected {
            address: None,
            error: io::Error::other("no address of the kind of the local address"),
        };
        let mut next = left.next();
        let mut latest = None;
        loop {
            if let Some(address) = next.take() {
                under_way.push(address.connect(source));
                latest = Some(address);
                next = left.next();
            } else if under_way.is_empty() {
                return Err(failed);
            }
            tokio::select! {
                Some(connected) = under_way.next() => match connected {
                    Ok(stream) => return Ok(stream),
                    Err(error) => failed = error,
                },
                () = tokio::time::sleep(NEXT_ADDRESS_AFTER), if next.is_some() => {
                    // One that does not answer at all would delay every connection that begins with it.
                    if let Some(silent) = latest {
                        silent.failed.store(true, Ordering::Relaxed);
                    }
                }
            }
        }
    }
}

impl Address {
    fn new(address: SocketAddr) -> Self {
        Self {
            address,
            failed: AtomicBool::new(false),
        }
    }

    async fn connect(&self, source: Option<IpAddr>) -> Result<TcpStream, Unconnected> {
        let connect = async {
            let socket = match self.address {
                SocketAddr::V4(_) => TcpSocket::new_v4()?,
                SocketAddr::V6(_) => TcpSocket::new_v6()?,
            };
            if let Some(source) = source {
                socket.bind(SocketAddr::new(source, 0))?;
            }
            let stream = socket.connect(self.address).await?;
            stream.set_nodelay(true)?;
            Ok(stream)
        };
        let connected: io::Result<TcpStream> = connect.await;
        self.failed.store(connected.is_err(), Ordering::Relaxed);
        connected.map_err(|error| Unconnected {
            address: Some(self.address),
            error,
        })
    }
}

/// TLS with the certificates of a target. The name of a gateway may be another than that in its url.
fn connector(
    target: &Target,
    url: &Url,
    protocol: Protocol,
) -> Result<(TlsConnector, ServerName<'static>)> {
    let mut config = tls::client_config(&target.access.certificates)?;
    config.alpn_protocols = vec![match protocol {
        Protocol::Http1 => b"http/1.1".to_vec(),
        Protocol::Http2 => b"h2".to_vec(),
    }];
    let own = target.access.server_name();
    let own = own.filter(|_| !target.is_endpoint(url));
    let name = match own {
        Some(name) => name,
        None => url.host_str().context("it has no host")?.to_owned(),
    };
    let name = name.trim_matches(['[', ']']).to_owned();
    let server_name = ServerName::try_from(name.clone());
    let server_name =
        server_name.with_context(|| format!("{name} cannot be the name of a certificate"))?;
    Ok((TlsConnector::from(Arc::new(config)), server_name))
}

/// The value of `Proxy-Authorization` for the login of a proxy's url.
pub fn proxy_login(proxy: &Url) -> Option<String> {
    if proxy.username().is_empty() && proxy.password().is_none() {
        return None;
    }
    let mut login: Vec<u8> = percent_encoding::percent_decode_str(proxy.username()).collect();
    login.push(b':');
    let password = proxy.password().unwrap_or_default();
    login.extend(percent_encoding::percent_decode_str(password));
    Some(format!("Basic {}", STANDARD.encode(login)))
}

/// Asks a proxy for a connection to `authority` (RFC 9110, section 9.3.6).
async fn tunnel(stream: &mut TcpStream, authority: &str, login: Option<&str>) -> io::Result<()> {
    let mut head = format!("CONNECT {authority} HTTP/1.1\r\nhost: {authority}\r\n");
    if let Some(login) = login {
        head.push_str(&format!("proxy-authorization: {login}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).await?;
    let mut answer = Vec::new();
    // Byte by byte: what follows the head is of the server behind the proxy.
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await?);
        if answer.len() > PROXY_HEAD_LIMIT_BYTES {
            return Err(io::Error::other(
                "the head of the proxy's answer is too long",
            ));
        }
    }
    let text = String::from_utf8_lossy(&answer);
    let line = text.lines().next().unwrap_or_default();
    let status = line.split(' ').nth(1).unwrap_or_default();
    if status.len() == 3 && status.starts_with('2') {
        Ok(())
    } else {
        let why = format!("the proxy refused a connection to {authority}: {line}");
        Err(io::Error::other(why))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    fn route(addresses: &[SocketAddr]) -> Route {
        Route {
            addresses: addresses.iter().copied().map(Address::new).collect(),
            tunnel: None,
            tls: None,
            protocol: Protocol::Http1,
        }
    }

    async fn closed() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    }

    async fn to(route: &Route, number: usize) -> SocketAddr {
        match route.connect(number, &[]).await.unwrap() {
            Io::Plain(stream) => stream.peer_addr().unwrap(),
            Io::Tls(_) => unreachable!("the route has no TLS"),
        }
    }

    #[tokio::test]
    async fn connections_go_to_the_addresses_in_turn_and_past_those_that_refuse() {
        let listeners = [
            TcpListener::bind("127.0.0.1:0").await.unwrap(),
            TcpListener::bind("[::1]:0").await.unwrap(),
        ];
        let [one, two] = listeners.map(|listener| {
            let address = listener.local_addr().unwrap();
            tokio::spawn(async move { while listener.accept().await.is_ok() {} });
            address
        });
        let both = route(&[one, two]);
        for number in 0..4 {
            assert_eq!(to(&both, number).await, [one, two][number % 2]);
        }
        let refused = closed().await;
        let first_refuses = route(&[refused, one]);
        for number in 0..4 {
            assert_eq!(to(&first_refuses, number).await, one);
        }
        let none = route(&[refused]).connect(0, &[]).await;
        let message = none.err().unwrap().to_string();
        assert!(message.contains(&refused.to_string()), "{message}");
        // Only addresses of its kind can be reached from a local address.
        let source = [IpAddr::from([127, 0, 0, 1])];
        assert!(both.connect(1, &source).await.is_ok());
        let six = route(&[two]).connect(0, &source).await;
        assert!(
            six.err()
                .unwrap()
                .to_string()
                .contains("no address of the kind")
        );
    }

    #[tokio::test]
    async fn an_address_that_does_not_answer_delays_the_next_one_once() {
        // TEST-NET-1 (RFC 5737): nothing answers, or the network refuses.
        let silent: SocketAddr = "192.0.2.1:9".parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let route = route(&[silent, address]);
        assert_eq!(to(&route, 0).await, address);
        let began = std::time::Instant::now();
        for _ in 0..10 {
            assert_eq!(to(&route, 0).await, address);
        }
        assert!(began.elapsed() < NEXT_ADDRESS_AFTER * 5);
    }
}
