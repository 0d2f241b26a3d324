//! The head of a request: its parts, in the form that each version of HTTP sends.

use anyhow::{Context, Result};
use http::header::{
    ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName, HeaderValue,
    UPGRADE, USER_AGENT,
};
use http::{Method, Request, Uri};
use poolproof_client::REQUEST_ID_HEADER;
use poolproof_client::route::proxy_login;
use poolproof_model::api::Api;
use poolproof_model::target::Target;
use url::{Position, Url};

use super::Header;

/// The id of a request, by which it is found in a server's log.
#[derive(Clone, Copy, Debug)]
pub(super) struct Id {
    pub(super) run: u32,
    pub(super) number: u64,
}

impl Id {
    fn write(self, into: &mut Vec<u8>) {
        use std::io::Write;
        // Writing to memory cannot fail.
        let _ = write!(into, "{:08x}-load-{}", self.run, self.number);
    }
}

/// The head of all requests of a class to a url: a POST of JSON.
pub(super) struct Head {
    /// The bytes of HTTP/1.1, up to the id of the request.
    http1: Vec<u8>,
    /// The parts for HTTP/2, without id and length.
    http2: Request<()>,
}

impl std::fmt::Debug for Head {
    /// Its headers may be secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Head of {} bytes", self.http1.len())
    }
}

/// Headers that HTTP/2 does not have (RFC 9113, section 8.2.2).
const OF_CONNECTION: [HeaderName; 4] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    UPGRADE,
];

/// The place of a content-length, which is known once the body is written. It is as wide as any body is long.
const LENGTH_PLACE: &[u8] = b"0000000000";

impl Head {
    /// The head of requests to this path of the API below a url of a target. Of headers with one name, the last one is sent.
    pub(super) fn new(target: &Target, url: &Url, path: &str, headers: &[Header]) -> Result<Self> {
        let at = target.paths.url(url, path).context("its url")?;
        let authority = &at[Position::BeforeHost..Position::AfterPort];
        let set = |name: HeaderName, value: &str| (name.to_string(), value.to_owned());
        let mut all = vec![
            set(HOST, authority),
            set(CONTENT_TYPE, "application/json"),
            // Without it, a server may choose any coding (RFC 9110, section 12.5.3).
            set(ACCEPT_ENCODING, "identity"),
            set(USER_AGENT, concat!("poolproof/", env!("CARGO_PKG_VERSION"))),
        ];
        if path == Api::Messages.path() {
            // Required (Anthropic API, "Versions").
            all.push(("anthropic-version".to_owned(), "2023-06-01".to_owned()));
        }
        // A proxy forwards requests of HTTP/1.1 that name the whole url (RFC 9112, section 3.2.2).
        let proxy = target.access.proxy.of(url);
        let proxy = proxy.filter(|_| url.scheme() == "http");
        let from = match proxy {
            Some(_) => Position::BeforeScheme,
            None => Position::BeforePath,
        };
        let of_target = target.access.headers(url, !target.is_endpoint(url));
        let of_target = of_target.into_iter();
        let of_target = of_target.map(|(name, value)| (name, value.reveal().to_owned()));
        for (name, value) in of_target.chain(headers.iter().cloned()) {
            match all.iter_mut().find(|it| it.0.eq_ignore_ascii_case(&name)) {
                Some(before) => before.1 = value,
                None => all.push((name, value)),
            }
        }
        let mut http1 = format!(
            "{} {} HTTP/1.1\r\n",
            Method::POST,
            &at[from..Position::AfterQuery]
        );
        let login = proxy.as_ref().and_then(proxy_login);
        for login in login.iter() {
            http1 += &format!("proxy-authorization: {login}\r\n");
        }
        let mut http2 = Request::new(());
        *http2.method_mut() = Method::POST;
        let mut authority = authority.to_owned();
        for (name, value) in all {
            let parsed: HeaderName = name.parse().with_context(|| format!("header {name:?}"))?;
            let sent = HeaderValue::from_str(&value).ok();
            let sent = sent.with_context(|| format!("the value of header {name:?}"))?;
            http1 += &format!("{name}: {value}\r\n");
            // HTTP/2 has the authority in its place (RFC 9113, section 8.3.1).
            if parsed == HOST {
                authority = value;
            } else if !OF_CONNECTION.contains(&parsed) {
                http2.headers_mut().insert(parsed, sent);
            }
        }
        let uri = format!(
            "{}://{authority}{}",
            at.scheme(),
            &at[Position::BeforePath..Position::AfterQuery]
        );
        *http2.uri_mut() = uri.parse::<Uri>().ok().context("its url or its host")?;
        http1 += &format!("{REQUEST_ID_HEADER}: ");
        Ok(Self {
            http1: http1.into_bytes(),
            http2,
        })
    }

    /// Appends the head of HTTP/1.1. Its content-length is set by [`Length::set`].
    pub(super) fn write_http1(&self, id: Id, wire: &mut Vec<u8>) -> Length {
        wire.extend_from_slice(&self.http1);
        id.write(wire);
        wire.extend_from_slice(b"\r\ncontent-length: ");
        let at = wire.len();
        wire.extend_from_slice(LENGTH_PLACE);
        wire.extend_from_slice(b"\r\n\r\n");
        let body_at = wire.len();
        Length { at, body_at }
    }

    /// The request of HTTP/2 for a body of this length.
    pub(super) fn http2(&self, id: Id, length: usize) -> http::Result<Request<()>> {
        let mut value = Vec::new();
        id.write(&mut value);
        let mut request = self.http2.clone();
        let headers = request.headers_mut();
        headers.insert(REQUEST_ID_HEADER, HeaderValue::from_bytes(&value)?);
        headers.insert(CONTENT_LENGTH, length.into());
        Ok(request)
    }
}

/// Where a content-length and the body that it counts lie.
pub(super) struct Length {
    at: usize,
    body_at: usize,
}

impl Length {
    /// Writes the length of the body, which ends with `wire`.
    pub(super) fn set(self, wire: &mut [u8]) {
        let mut length = wire.len() - self.body_at;
        let place = &mut wire[self.at..self.at + LENGTH_PLACE.len()];
        for digit in place.iter_mut().rev() {
            *digit = b'0' + (length % 10) as u8;
            length /= 10;
        }
    }
}
