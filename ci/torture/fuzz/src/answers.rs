//! What servers send.

use std::time::{Duration, Instant};

use poolproof_client::answer::{Asked, Stream, document as judged};
use poolproof_client::evidence::figures;
use poolproof_client::sse::Parser;
use poolproof_client::{Api, Inflate};
use poolproof_load::fuzz;

/// What a request asked for, and in which pieces the answer arrives, by the first two bytes.
fn asked(data: &[u8]) -> Option<(Asked, usize, &[u8])> {
    let (head, rest) = data.split_first_chunk::<2>()?;
    let [first, second] = *head;
    let asked = Asked {
        api: Api::ALL[usize::from(first) % Api::ALL.len()],
        stream: first & 0x80 == 0,
        text: first & 0x40 == 0,
        strict: first & 0x20 != 0,
        tokens: (first & 0x10 != 0).then_some(3),
        inputs: u32::from(second >> 6),
        top: u32::from(second >> 4 & 3),
        dimensions: u32::from(second >> 3 & 1) * 2,
    };
    Some((asked, 1 + usize::from(second & 7) * 13, rest))
}

pub fn http1(data: &[u8]) {
    if let Some((asked, size, wire)) = asked(data) {
        fuzz::http1(wire, size, asked);
    }
}

pub fn http2(data: &[u8]) {
    if let Some((asked, _, wire)) = asked(data) {
        fuzz::http2(wire, asked);
    }
}

pub fn sse(data: &[u8]) {
    let now = Instant::now();
    let mut whole = Parser::default();
    let frames = whole.feed(data, now);
    let kept: usize = frames
        .iter()
        .map(|frame| frame.data.len() + frame.name.len())
        .sum();
    // A byte that is no text becomes three.
    assert!(kept <= 3 * data.len());
    let mut split = Parser::default();
    let pieces = data.chunks(3).flat_map(|piece| split.feed(piece, now));
    assert_eq!(pieces.collect::<Vec<_>>(), frames);
}

pub fn stream(data: &[u8]) {
    let Some((asked, size, bytes)) = asked(data) else {
        return;
    };
    let mut stream = Stream::new(asked);
    let mut at = Instant::now();
    for piece in bytes.chunks(size) {
        at += Duration::from_millis(1);
        if stream.feed(piece, at, |_| ()).is_err() {
            return;
        }
        assert!(stream.held_bytes() <= 4 << 20);
    }
    if let Ok(answered) = stream.end() {
        let _ = (answered.text(), answered.output_tokens());
    }
}

pub fn document(data: &[u8]) {
    if let Some((asked, _, body)) = asked(data) {
        let kind = [
            Some(&b"application/json"[..]),
            None,
            Some(b"text/event-stream"),
        ];
        let _ = judged(body, kind[data.len() % 3], asked);
    }
}

pub fn inflate(data: &[u8]) {
    for coding in [&b"gzip"[..], b"deflate"] {
        let Ok(Some(mut inflate)) = Inflate::of(coding) else {
            unreachable!("a coding that is known");
        };
        let mut largest = 0;
        let fed = data.chunks(1000).all(|piece| {
            let fed = inflate.feed(piece, |decoded| {
                largest = largest.max(decoded.len());
                Ok::<(), ()>(())
            });
            fed.is_ok()
        });
        assert!(largest <= 1 << 20);
        let _ = fed && inflate.end().is_ok();
    }
}

pub fn metrics(data: &[u8]) {
    let reading = figures::parse(&String::from_utf8_lossy(data));
    assert!(reading.0.len() <= 4096);
}
