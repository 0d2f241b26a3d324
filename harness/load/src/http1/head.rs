//! The head of an answer.

use super::body::{Chunked, Framing};
use crate::failure::{Failed, Failure};
use poolproof_client::answer::Kind;

/// The parts of a head that matter here.
#[derive(Debug)]
pub(super) struct Head<'a> {
    pub(super) status: u16,
    pub(super) framing: Framing,
    pub(super) keep_alive: bool,
    pub(super) content_type: Option<&'a [u8]>,
    /// Its content-encoding.
    pub(super) coding: Option<&'a [u8]>,
    /// Where a redirect leads.
    pub(super) location: Option<&'a [u8]>,
    /// When the server wants to be asked again.
    pub(super) retry_after: Option<&'a [u8]>,
    /// The endpoint that it names.
    pub(super) served_by: Option<&'a [u8]>,
    /// Its bytes, the empty line included.
    pub(super) length: usize,
}

/// The longest head, in bytes.
const HEAD_LIMIT_BYTES: usize = 64 << 10;
const HEADERS_MAX: usize = 96;

impl<'a> Head<'a> {
    /// The head at the beginning of these bytes; `None` if its end has not arrived. Endpoints name themselves in `served_by_header`.
    pub(super) fn parse(bytes: &'a [u8], served_by_header: &str) -> Result<Option<Self>, Failed> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut response = httparse::Response::new(&mut headers);
        let length = match response.parse(bytes) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) if bytes.len() < HEAD_LIMIT_BYTES => return Ok(None),
            Ok(httparse::Status::Partial) => {
                return Err(Failed::with_bytes(Failure::Answer(Kind::TooLong), bytes));
            }
            Err(_) => return Err(Failed::with_bytes(Failure::NotHttp, bytes)),
        };
        let status = response.code.unwrap_or_default();
        let mut head = Self {
            status,
            framing: Framing::UntilClose,
            keep_alive: response.version == Some(1),
            content_type: None,
            coding: None,
            location: None,
            retry_after: None,
            served_by: None,
            length,
        };
        let mut content_length = None;
        let mut chunked = false;
        for header in response.headers.iter() {
            let is = |name: &str| header.name.eq_ignore_ascii_case(name);
            // Lengths are compared first, since most headers are none of these.
            match header.name.len() {
                10 if is("connection") => {
                    head.keep_alive &= !has_token(header.value, b"close");
                }
                8 if is("location") && (300..400).contains(&status) => {
                    head.location = Some(header.value);
                }
                11 if is("retry-after") => head.retry_after = Some(header.value),
                16 if is("content-encoding") => head.coding = Some(header.value),
                12 if is("content-type") => head.content_type = Some(header.value),
                14 if is("content-length") => {
                    content_length = parse_length(header.value);
                    if content_length.is_none() {
                        return Err(Failed::with_bytes(Failure::NotHttp, header.value));
                    }
                }
                17 if is("transfer-encoding") => chunked = has_token(header.value, b"chunked"),
                length if length == served_by_header.len() && is(served_by_header) => {
                    head.served_by = Some(header.value);
                }
                _ => {}
            }
        }
        head.framing = match (status, chunked, content_length) {
            (100..200 | 204 | 304, ..) => Framing::Length(0),
            (_, true, _) => Framing::Chunked(Chunked::default()),
            (_, false, Some(length)) => Framing::Length(length),
            (_, false, None) => Framing::UntilClose,
        };
        head.keep_alive &= !head.framing.ends_with_connection();
        Ok(Some(head))
    }
}

/// The value of `Content-Length`. It has digits only; `parse` alone would take a sign too.
fn parse_length(value: &[u8]) -> Option<u64> {
    let digits = value.trim_ascii();
    let only_digits = digits.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(digits).ok().filter(|_| only_digits)?;
    text.parse().ok()
}

/// Whether a list of tokens has this one.
fn has_token(value: &[u8], token: &[u8]) -> bool {
    value
        .split(|byte| *byte == b',')
        .any(|part| part.trim_ascii().eq_ignore_ascii_case(token))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn parse(bytes: &[u8]) -> Result<Option<Head<'_>>, Failed> {
        Head::parse(bytes, "x-served-by")
    }

    #[test]
    fn a_head_yields_status_framing_and_endpoint() {
        let text = b"HTTP/1.1 200 OK\r\nContent-Type: Text/Event-Stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\
                     X-Served-By: sim-a-0\r\n\r\n5\r\n";
        let head = parse(text).unwrap().unwrap();
        assert_eq!(
            head.content_type,
            Some(&b"Text/Event-Stream; charset=utf-8"[..])
        );
        assert!(head.keep_alive);
        assert_eq!(head.served_by, Some(b"sim-a-0".as_slice()));
        assert!(matches!(head.framing, Framing::Chunked(_)));
        assert_eq!(&text[head.length..], b"5\r\n");
        for end in 0..head.length {
            assert!(parse(&text[..end]).unwrap().is_none());
        }
    }

    #[test]
    fn how_long_a_body_is_follows_from_the_head() {
        let framing = |text: &str| {
            let head = parse(text.as_bytes()).unwrap().unwrap();
            (format!("{:?}", head.framing), head.keep_alive)
        };
        assert_eq!(
            framing("HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n"),
            ("Length(7)".to_owned(), true)
        );
        assert_eq!(
            framing("HTTP/1.1 200 OK\r\n\r\n"),
            ("UntilClose".to_owned(), false)
        );
        assert_eq!(
            framing("HTTP/1.1 204 No Content\r\nconnection: Keep-Alive, Close\r\n\r\n"),
            ("Length(0)".to_owned(), false)
        );
        assert!(!framing("HTTP/1.0 200 OK\r\ncontent-length: 7\r\n\r\n").1);
    }

    #[test]
    fn an_invalid_head_is_a_failure() {
        let kind = |bytes: &[u8]| parse(bytes).map(|_| ()).unwrap_err().kind;
        assert_eq!(kind(b"SSH-2.0-OpenSSH\r\n"), Failure::NotHttp);
        assert_eq!(
            kind(b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n"),
            Failure::NotHttp
        );
        let endless = [b"HTTP/1.1 200 OK\r\nx: ".as_slice(), &[b'y'; 70_000]].concat();
        assert_eq!(kind(&endless), Failure::Answer(Kind::TooLong));
    }
}

#[cfg(test)]
mod properties {
    use super::*;
    use poolproof_property::config;
    use proptest::collection::vec;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn any_bytes_behind_a_status_line_do_no_harm(bytes in vec(any::<u8>(), 0..100), lines in "([a-zA-Z:,; \r\n0-9-]{0,20}|\r\n){0,8}") {
            for wire in [
                bytes.clone(),
                [b"HTTP/1.1 200 OK\r\n".as_slice(), &bytes].concat(),
                [b"HTTP/1.1 200 OK\r\n".as_slice(), lines.as_bytes(), b"\r\n\r\n"].concat(),
            ] {
                if let Ok(Some(head)) = Head::parse(&wire, "x-served-by") {
                    prop_assert!(head.length <= wire.len());
                }
            }
        }

        #[test]
        fn a_length_is_a_number_of_digits(length in "[+-]?[0-9]{1,22}|[0-9a-fx._ ]{1,4}") {
            let text = length.trim();
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            let wanted = text.parse::<u64>().ok().filter(|_| digits);
            let wire = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
            let read = match Head::parse(wire.as_bytes(), "x-served-by") {
                Ok(Some(Head { framing: Framing::Length(length), .. })) => Some(length),
                _ => None,
            };
            prop_assert_eq!(read, wanted);
        }

        #[test]
        fn a_written_head_is_read_back_once_it_is_whole(
            status in 200_u16..600,
            length in any::<u64>(),
            close in any::<bool>(),
            stream in any::<bool>(),
            served_by in "[!-~]{1,12}",
            others in vec(("x-[a-z0-9-]{1,12}", "[!-~]{0,12}"), 0..20),
            body in vec(any::<u8>(), 0..20),
        ) {
            let mut head = format!("HTTP/1.1 {status} Why\r\nContent-Length: {length}\r\nServed-By: {served_by}\r\n");
            for (name, value) in others {
                head += &format!("{name}: {value}\r\n");
            }
            head += if close { "Connection: Close\r\n" } else { "" };
            head += if stream { "Content-Type: text/event-stream; charset=utf-8\r\n\r\n" } else { "\r\n" };
            let wire = [head.as_bytes(), &body].concat();
            for end in 0..head.len() {
                prop_assert!(matches!(Head::parse(&wire[..end], "served-by"), Ok(None)));
            }
            let Ok(Some(read)) = Head::parse(&wire, "served-by") else {
                return Err(TestCaseError::fail("it is a head"));
            };
            let wanted = if matches!(status, 204 | 304) { 0 } else { length };
            prop_assert!(matches!(read.framing, Framing::Length(length) if length == wanted));
            prop_assert_eq!((read.status, read.length), (status, head.len()));
            prop_assert_eq!((read.keep_alive, read.content_type.is_some()), (!close, stream));
            prop_assert_eq!(read.served_by, Some(served_by.as_bytes()));
        }
    }
}
