//! Requests that an HTTP library does not send: those that wait for `100 Continue`, and the probe for HTTP/2.

use std::io;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use poolproof_model::target::Target;
use reqwest::Version;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use url::Position;

use crate::route::{Io, Protocol, Route, proxy_login};
use crate::{Body, Client, Ending, Exchange, REQUEST_ID_HEADER, Request};

/// The longest response that is read, in bytes.
const ANSWER_LIMIT_BYTES: usize = 1 << 20;
/// The longest head, in bytes. It is parsed again with each read, so that a long one in small pieces would take minutes.
const HEAD_LIMIT_BYTES: usize = 64 << 10;
const HEADERS_MAX: usize = 128;
/// The connection preface of HTTP/2 and an empty SETTINGS frame (RFC 9113, sections 3.4 and 6.5).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// The bytes of a frame before its payload, and the place and value of the type SETTINGS (RFC 9113, section 4.1).
const FRAME_HEAD_BYTES: usize = 9;
const FRAME_TYPE: usize = 3;
const SETTINGS: u8 = 4;

/// A request that waited for `100 Continue`, and its response.
#[derive(Clone, Debug)]
pub struct Expected {
    /// The final response.
    pub exchange: Exchange,
    /// How long after the head of the request `100 Continue` came; `None`: not before the final response.
    pub continued_after: Option<Duration>,
}

/// Whether the gateway of a target speaks HTTP/2: by ALPN with TLS, with prior knowledge without it (RFC 9113, section 3). Fails if it
/// cannot be reached.
pub async fn speaks_http2(target: &Target, timeout: Duration) -> Result<bool> {
    let probe = async {
        let route = Route::find(target, &target.url, Protocol::Http2).await?;
        let mut io = match route.connect(0, &[]).await {
            // No common protocol: an alert ends the handshake.
            Err(unconnected) if is_tls(&unconnected.error) => return Ok(false),
            Err(unconnected) => bail!("connecting to {}: {unconnected}", target.url),
            Ok(io) => io,
        };
        let mut head = [0; FRAME_HEAD_BYTES];
        let answered = match io.write_all(PREFACE).await {
            Ok(()) => io.read_exact(&mut head).await.map(|_| ()),
            Err(error) => Err(error),
        };
        // A server of HTTP/1.1 answers 400 or 505, or closes the connection.
        Ok(answered.is_ok() && head[FRAME_TYPE] == SETTINGS)
    };
    // A server that waits for more takes the preface for the start of something else.
    tokio::time::timeout(timeout, probe)
        .await
        .unwrap_or(Ok(false))
}

fn is_tls(error: &io::Error) -> bool {
    let source = error.get_ref();
    source.is_some_and(|source| source.is::<rustls::Error>())
}

impl Client {
    /// Sends the head of a request with `Expect: 100-continue` over a new HTTP/1.1 connection, and its body once the
    /// server answers `100 Continue`, or after `wait` (RFC 9110, section 10.1.1). A final response instead ends the
    /// exchange without the body.
    pub async fn send_expecting(&self, request: Request, wait: Duration) -> Expected {
        let number = self.next_id.fetch_add(1, Ordering::Relaxed);
        self.tally.sent.fetch_add(1, Ordering::Relaxed);
        let mut expected = Expected {
            exchange: Exchange::new(format!("{}-{number}", self.name), Instant::now()),
            continued_after: None,
        };
        let timeout = request.timeout;
        let exchanged = self.exchange_expecting(request, wait, &mut expected);
        match tokio::time::timeout(timeout, exchanged).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => expected.exchange.ending = Ending::Cut(error.to_string()),
            Err(_) => {
                expected.exchange.ending = Ending::TimedOut;
                self.tally
                    .unanswered
                    .fetch_add(u64::from(timeout >= self.tally.patience), Ordering::Relaxed);
            }
        }
        expected.exchange.ended_at = Instant::now();
        expected
    }

    async fn exchange_expecting(
        &self,
        request: Request,
        wait: Duration,
        expected: &mut Expected,
    ) -> io::Result<()> {
        let site = &self.site;
        let url = site.url(&request.path).map_err(io::Error::other)?;
        let route = Route::find(&site.target, &site.base, Protocol::Http1).await;
        let connected = match &route {
            Ok(route) => route.connect(0, &[]).await.map_err(|it| it.to_string()),
            Err(error) => Err(format!("{error:#}")),
        };
        let mut io = match connected {
            Ok(io) => io,
            Err(error) => {
                expected.exchange.ending = Ending::NotConnected(error);
                return Ok(());
            }
        };
        let body = match site.adapted(request.body, request.is_json) {
            Body::Empty => bytes::Bytes::new(),
            Body::Sized(bytes) | Body::Chunked(bytes) => bytes,
        };
        let host = &site.base[Position::BeforeHost..Position::AfterPort];
        let proxy = site.target.access.proxy.of(&url);
        let forwarded = proxy.filter(|_| url.scheme() == "http");
        let from = match forwarded {
            Some(_) => Position::BeforeScheme,
            None => Position::BeforePath,
        };
        let id = expected.exchange.id.clone();
        let length = body.len().to_string();
        let fixed = [
            ("content-length", length.as_str()),
            ("expect", "100-continue"),
            ("connection", "close"),
            (REQUEST_ID_HEADER, &id),
        ];
        let mut headers = vec![("host", host), ("content-type", "application/json")];
        let login = forwarded.as_ref().and_then(proxy_login);
        headers.extend(login.iter().map(|it| ("proxy-authorization", it.as_str())));
        for (name, value) in &site.headers {
            headers.retain(|(other, _)| name.as_str() != *other);
            headers.push((name.as_str(), value.to_str().unwrap_or_default()));
        }
        headers.extend(fixed);
        let own = |name: &str| {
            let mut own = request.headers.iter();
            own.any(|(own, _)| own.eq_ignore_ascii_case(name))
        };
        headers.retain(|(name, _)| *name == "host" || !own(name));
        let of_case = request.headers.iter();
        headers.extend(of_case.map(|(name, value)| (name.as_str(), value.as_str())));
        let mut head = format!(
            "{} {} HTTP/1.1\r\n",
            request.method,
            &url[from..Position::AfterQuery]
        );
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        expected.exchange.sent_at = Instant::now();
        io.write_all(head.as_bytes()).await?;
        let mut received = Vec::new();
        let interim = tokio::time::timeout(wait, read_head(&mut io, &mut received)).await;
        let mut answer = match interim {
            Ok(head) => Some(head?),
            Err(_) => None,
        };
        if answer.as_ref().is_some_and(|head| head.status == 100) {
            expected.continued_after = Some(expected.exchange.sent_at.elapsed());
            answer = None;
        }
        if answer.is_none() {
            io.write_all(&body).await?;
        }
        // A late 100, or another interim response, may still come.
        let answer = loop {
            let head = match answer.take() {
                Some(head) => head,
                None => read_head(&mut io, &mut received).await?,
            };
            if head.status >= 200 {
                break head;
            }
        };
        let exchange = &mut expected.exchange;
        exchange.head_at = Some(Instant::now());
        exchange.status = Some(answer.status);
        exchange.version = Some(Version::HTTP_11);
        exchange.served_by = self.names.endpoint(&answer.headers);
        exchange.headers = answer.headers;
        while received.len() < ANSWER_LIMIT_BYTES && !is_complete(&exchange.headers, &received) {
            if io.read_buf(&mut received).await? == 0 {
                break;
            }
        }
        exchange.ending = if is_complete(&exchange.headers, &received) {
            Ending::Complete
        } else {
            Ending::Cut("the connection ended before the body".to_owned())
        };
        // As received: a chunked body has its chunk sizes.
        exchange.body = received;
        Ok(())
    }
}

/// The head of a response.
struct Head {
    status: u16,
    headers: HeaderMap,
}

/// Reads the next head, and leaves what follows it in `received`.
async fn read_head(io: &mut Io, received: &mut Vec<u8>) -> io::Result<Head> {
    loop {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut response = httparse::Response::new(&mut headers);
        let parsed = response.parse(received).map_err(io::Error::other)?;
        if let httparse::Status::Complete(length) = parsed {
            let mut head = Head {
                status: response.code.unwrap_or(0),
                headers: HeaderMap::new(),
            };
            for header in response.headers.iter() {
                let name: Option<HeaderName> = header.name.parse().ok();
                let value = HeaderValue::from_bytes(header.value).ok();
                if let (Some(name), Some(value)) = (name, value) {
                    head.headers.append(name, value);
                }
            }
            received.drain(..length);
            return Ok(head);
        }
        if received.len() > HEAD_LIMIT_BYTES {
            return Err(io::Error::other("the head of the response is too long"));
        }
        if io.read_buf(received).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Whether a body is complete by its length or by its last chunk (RFC 9112, section 6.3). One that ends with its connection
/// never is: a request with `Expect` gets a framed answer here.
fn is_complete(headers: &HeaderMap, body: &[u8]) -> bool {
    let length = headers.get("content-length");
    let length = length.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    match length {
        Some(length) => body.len() >= length,
        None => body == b"0\r\n\r\n" || body.ends_with(b"\r\n0\r\n\r\n"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use poolproof_model::api::Api;
    use tokio::net::TcpListener;
    use url::Url;

    use super::*;
    use crate::Connections;

    /// A server that answers each connection with these bytes once it has read something, and once more when it has read
    /// more.
    async fn server(answers: [&'static [u8]; 2]) -> Url {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut received = [0; 1024];
                for answer in answers {
                    if stream.read(&mut received).await.is_ok_and(|read| read > 0) {
                        let _ = stream.write_all(answer).await;
                    }
                }
            }
        });
        url.parse().unwrap()
    }

    const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";

    async fn expecting(answers: [&'static [u8]; 2]) -> Expected {
        let url = server(answers).await;
        let client = Client::new("test", &url, Connections::KeepAlive, Arc::default()).unwrap();
        let request = Request::from_bytes(Api::Chat, "{}").timeout(Duration::from_secs(5));
        client
            .send_expecting(request, Duration::from_millis(200))
            .await
    }

    #[tokio::test]
    async fn a_body_follows_100_or_the_wait() {
        let expected = expecting([b"HTTP/1.1 100 Continue\r\n\r\n", OK]).await;
        assert!(expected.continued_after.is_some() && expected.exchange.is_success());
        let expected = expecting([b"", OK]).await;
        assert!(expected.continued_after.is_none() && expected.exchange.is_success());
    }

    #[tokio::test]
    async fn a_final_answer_ends_the_exchange() {
        let refused = b"HTTP/1.1 417 Expectation Failed\r\ncontent-length: 0\r\n\r\n";
        let expected = expecting([refused, b""]).await;
        assert_eq!(expected.exchange.status, Some(417));
        assert_eq!(expected.exchange.ending, Ending::Complete);
    }

    #[tokio::test]
    async fn http2_is_told_by_a_settings_frame() {
        let timeout = Duration::from_secs(1);
        let settings = server([b"\0\0\0\x04\0\0\0\0\0", b""]).await;
        let target = |url: Url| Target::at("t".to_owned(), url);
        assert!(speaks_http2(&target(settings), timeout).await.unwrap());
        let refuses = b"HTTP/1.1 400 Bad Request\r\n\r\n";
        assert!(
            !speaks_http2(&target(server([refuses, b""]).await), timeout)
                .await
                .unwrap()
        );
    }
}
