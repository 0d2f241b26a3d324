//! The head of a request: its parts, in the form that each version of HTTP sends.

use anyhow::{Context, Result};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use http::uri::{self, PathAndQuery, Uri};
use http::{Method, Request};
use http_body_util::Full;
use url::{Position, Url};

use super::Header;
use crate::transport::Origin;
use poolproof_client::REQUEST_ID_HEADER;

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

/// The head of all requests of a class: a POST of JSON.
#[derive(Debug)]
pub(super) struct Head {
    /// The bytes of HTTP/1.1, up to the id of the request.
    http1: Vec<u8>,
    /// The parts for HTTP/2, without origin and id.
    http2: Request<()>,
}

/// The place of a content-length, which is known once the body is written. It is as wide as any body is long.
const LENGTH_PLACE: &[u8] = b"0000000000";

impl Head {
    /// The head of requests to this path below a url.
    pub(super) fn new(url: &Url, path: &str, headers: &[Header]) -> Result<Self> {
        let path = format!("{}{path}", url.path().trim_end_matches('/'));
        let host = &url[Position::BeforeHost..Position::AfterPort];
        let json = (CONTENT_TYPE.to_string(), "application/json".to_owned());
        let mut http1 = format!("{} {path} HTTP/1.1\r\n{HOST}: {host}\r\n", Method::POST);
        let mut http2 = Request::new(());
        *http2.method_mut() = Method::POST;
        let path_and_query: PathAndQuery = path.parse().context("the path of its url")?;
        *http2.uri_mut() = path_and_query.into();
        for (name, value) in std::iter::once(&json).chain(headers) {
            http1 += &format!("{name}: {value}\r\n");
            let parsed: HeaderName = name.parse().with_context(|| format!("header {name:?}"))?;
            // HTTP/2 has the authority in its place (RFC 9113, section 8.3.1).
            if parsed != HOST {
                let value = HeaderValue::from_str(value);
                let value = value.with_context(|| format!("the value of header {name:?}"))?;
                http2.headers_mut().append(parsed, value);
            }
        }
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

    /// The request of HTTP/2 with this body.
    pub(super) fn http2(
        &self,
        id: Id,
        origin: &Origin,
        body: Bytes,
    ) -> http::Result<Request<Full<Bytes>>> {
        let mut value = Vec::new();
        id.write(&mut value);
        let mut parts = uri::Parts::default();
        parts.scheme = Some(origin.scheme.clone());
        parts.authority = Some(origin.authority.clone());
        parts.path_and_query = self.http2.uri().path_and_query().cloned();
        let mut request = self.http2.clone().map(|()| Full::new(body));
        *request.uri_mut() = Uri::from_parts(parts)?;
        let value = HeaderValue::from_maybe_shared(Bytes::from(value))?;
        request.headers_mut().insert(REQUEST_ID_HEADER, value);
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
