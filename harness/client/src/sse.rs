//! An incremental parser of server-sent events: LF, CR and CRLF line ends, any chunking.
//!
//! Source: WHATWG HTML, "Server-sent events", section 9.2.6 (interpreting an event stream).

use std::time::Instant;

/// The longest line and the longest event that are kept, in bytes. Bytes beyond it are dropped.
pub(crate) const LIMIT_BYTES: usize = 1 << 20;

/// The most that is kept of lines that are no fields, in bytes.
const STRAY_LIMIT_BYTES: usize = 4 << 10;
/// The longest name of an event that is kept, in bytes.
const NAME_LIMIT_BYTES: usize = 64;

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// When the end of the event arrived.
    pub at: Instant,
    /// The name, as in [`Event`].
    pub name: String,
    /// The data lines, joined by line feeds.
    pub data: String,
}

/// Collects complete events with their arrival times.
#[derive(Debug, Default)]
pub struct Parser(Splitter);

impl Parser {
    /// Parses a chunk that arrived at `at`. Returns the events that it completes.
    pub fn feed(&mut self, chunk: &[u8], at: Instant) -> Vec<Frame> {
        let mut frames = Vec::new();
        self.0.feed(chunk, |event| {
            let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
            frames.push(Frame {
                at,
                name: text(event.name),
                data: text(event.data),
            });
        });
        frames
    }
}

/// One event of a stream that is being split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// The name; empty for `message`, the default. A line `error: ...` is an event of that name: llama.cpp wrote errors so
    /// (ggml-org/llama.cpp#16104), though it is no field of an event stream.
    pub name: &'a [u8],
    /// The data lines, joined by line feeds.
    pub data: &'a [u8],
}

/// What came after the last whole event of a stream, and beside its events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rest {
    /// The data of an event without its empty line.
    pub data: Option<Vec<u8>>,
    /// The beginning of the lines that are no fields of an event stream.
    pub stray: Vec<u8>,
}

/// Splits a stream into its events. An event within one chunk is not copied.
#[derive(Debug, Default)]
pub struct Splitter {
    /// The beginning of an incomplete line.
    line: Vec<u8>,
    /// The data lines of an incomplete event.
    data: Option<Vec<u8>>,
    /// The name of an incomplete event.
    name: Vec<u8>,
    stray: Vec<u8>,
    after_cr: bool,
    past_start: bool,
    truncated: bool,
}

impl Splitter {
    /// Parses a chunk. Calls `event` with each event that it completes.
    pub fn feed(&mut self, mut chunk: &[u8], mut event: impl FnMut(Event<'_>)) {
        // The only data line so far of an event that began in this chunk.
        let mut held: Option<&[u8]> = None;
        if chunk.is_empty() {
            return;
        }
        if std::mem::take(&mut self.after_cr) {
            chunk = chunk.strip_prefix(b"\n").unwrap_or(chunk);
        }
        while let Some(end) = memchr::memchr2(b'\n', b'\r', chunk) {
            let (line, rest) = (&chunk[..end], &chunk[end + 1..]);
            let cr = chunk[end] == b'\r';
            self.after_cr = cr && rest.is_empty();
            chunk = if cr {
                rest.strip_prefix(b"\n").unwrap_or(rest)
            } else {
                rest
            };
            if self.line.is_empty() && self.past_start {
                match (value_of_data(line), held) {
                    (Some(value), None) if self.data.is_none() => held = Some(value),
                    (Some(value), _) => self.keep(held.take(), value),
                    (None, Some(data)) if line.is_empty() => {
                        event(Event {
                            name: &self.name,
                            data,
                        });
                        self.name.clear();
                        held = None;
                    }
                    (None, _) if line.is_empty() => self.dispatch(&mut event),
                    (None, _) => self.other(line, &mut event),
                }
                continue;
            }
            self.extend_line(line);
            let mut whole = std::mem::take(&mut self.line);
            if !std::mem::replace(&mut self.past_start, true) && whole.starts_with(b"\xEF\xBB\xBF")
            {
                whole.drain(..3);
            }
            match value_of_data(&whole) {
                Some(value) => self.keep(held.take(), value),
                None if whole.is_empty() => self.dispatch(&mut event),
                None => self.other(&whole, &mut event),
            }
        }
        if let Some(value) = held {
            self.keep(None, value);
        }
        self.extend_line(chunk);
    }

    /// Whether a line or an event exceeded the limit.
    pub fn truncated(&self) -> bool {
        self.truncated
    }

    /// The bytes of an event that has not ended.
    pub fn held_bytes(&self) -> usize {
        self.line.capacity() + self.data.as_ref().map_or(0, Vec::capacity)
    }

    /// What is left when the stream has ended. `event` is called for an `error` line without its end.
    pub fn end(mut self, mut event: impl FnMut(Event<'_>)) -> Rest {
        let line = std::mem::take(&mut self.line);
        let line = match line.strip_prefix(b"\xEF\xBB\xBF") {
            Some(rest) if !self.past_start => rest,
            _ => &line,
        };
        match value_of_data(line) {
            Some(value) => self.keep(None, value),
            None if line.is_empty() => {}
            None => self.other(line, &mut event),
        }
        Rest {
            data: self.data,
            stray: self.stray,
        }
    }

    fn dispatch(&mut self, event: &mut impl FnMut(Event<'_>)) {
        let data = self.data.take();
        // Without data an event is none (WHATWG), but an error is one by its name.
        if data.is_some() || self.name.eq_ignore_ascii_case(ERROR) {
            event(Event {
                name: &self.name,
                data: data.as_deref().unwrap_or_default(),
            });
        }
        self.name.clear();
    }

    /// Takes a line that is neither data nor empty.
    #[cold]
    fn other(&mut self, line: &[u8], event: &mut impl FnMut(Event<'_>)) {
        let (field, value) = match memchr::memchr(b':', line) {
            Some(at) => (&line[..at], &line[at + 1..]),
            None => (line, &[][..]),
        };
        let value = value.trim_ascii();
        match field {
            b"event" => {
                self.name.clear();
                if !value.eq_ignore_ascii_case(b"message") {
                    let length = value.len().min(NAME_LIMIT_BYTES);
                    self.name.extend_from_slice(&value[..length]);
                }
            }
            b"id" | b"retry" => {}
            // A comment, unless it is a data line that was damaged.
            b"" if !value.starts_with(b"data:") => {}
            _ if field.eq_ignore_ascii_case(ERROR) && !value.is_empty() => {
                let is_none = matches!(value, b"null" | b"false" | b"{}" | b"\"\"" | b"0");
                if !is_none {
                    event(Event {
                        name: ERROR,
                        data: value,
                    });
                }
            }
            _ => {
                let room = STRAY_LIMIT_BYTES.saturating_sub(self.stray.len() + 1);
                self.stray.extend_from_slice(&line[..line.len().min(room)]);
                if room > 0 {
                    self.stray.push(b'\n');
                }
            }
        }
    }

    /// Adds data lines to the event.
    fn keep(&mut self, first: Option<&[u8]>, second: &[u8]) {
        for value in first.into_iter().chain([second]) {
            let data = match &mut self.data {
                Some(data) if data.len() < LIMIT_BYTES => {
                    data.push(b'\n');
                    data
                }
                Some(data) => data,
                None => self.data.insert(Vec::with_capacity(value.len())),
            };
            let room = LIMIT_BYTES.saturating_sub(data.len());
            self.truncated |= value.len() > room;
            data.extend_from_slice(&value[..value.len().min(room)]);
        }
    }

    #[inline]
    fn extend_line(&mut self, part: &[u8]) {
        let room = LIMIT_BYTES - self.line.len();
        self.truncated |= part.len() > room;
        self.line.extend_from_slice(&part[..part.len().min(room)]);
    }
}

/// The name of an event that is an error.
const ERROR: &[u8] = b"error";

/// The value of a `data` line.
#[inline]
fn value_of_data(line: &[u8]) -> Option<&[u8]> {
    match line.strip_prefix(b"data")? {
        [] => Some(&[]),
        [b':', b' ', value @ ..] | [b':', value @ ..] => Some(value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(chunks: &[&[u8]]) -> Vec<String> {
        let mut parser = Parser::default();
        let now = Instant::now();
        chunks
            .iter()
            .flat_map(|chunk| parser.feed(chunk, now))
            .map(|frame| frame.data)
            .collect()
    }

    #[test]
    fn every_line_end_and_every_chunking_gives_the_same_events() {
        let wanted = vec!["{\"a\":1}".to_owned(), "[DONE]".to_owned()];
        for end in ["\n", "\r", "\r\n"] {
            let text =
                format!(": hi{end}data: {{\"a\":1}}{end}{end}id: 7{end}data:[DONE]{end}{end}");
            for size in 1..=text.len() {
                let chunks: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
                assert_eq!(parse(&chunks), wanted, "line end {end:?}, chunks of {size}");
            }
        }
    }

    #[test]
    fn data_lines_join_and_other_fields_make_no_event() {
        assert_eq!(parse(&[b"data: a\ndata: b\n\nevent: x\n\n"]), ["a\nb"]);
    }

    #[test]
    fn events_have_names_and_other_lines_are_kept() {
        let stream = b"event: ping\ndata: 1\n\nevent: message\ndata: 2\n\nevent: error\n\ndata: 3\n\nError: {\"code\":4}\n\
                       error: null\n: c\nid: 7\nretry: 9\n[DONE]\n:data: 5\n\nevent: x\n\ndata: 6\ndata: 7";
        for size in [1, 2, 3, 7, 1000] {
            let (mut splitter, mut events) = (Splitter::default(), Vec::new());
            let mut add = |event: Event<'_>| {
                let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
                events.push(format!("{}={}", text(event.name), text(event.data)));
            };
            for chunk in stream.chunks(size) {
                splitter.feed(chunk, &mut add);
            }
            let rest = splitter.end(&mut add);
            assert_eq!(
                events,
                ["ping=1", "=2", "error=", "=3", "error={\"code\":4}"]
            );
            assert_eq!(rest.data.as_deref(), Some(&b"6\n7"[..]));
            assert_eq!(rest.stray, b"[DONE]\n:data: 5\n");
        }
    }

    #[test]
    fn an_unfinished_event_is_no_event() {
        assert!(parse(&[b"data: a\n"]).is_empty());
    }

    #[test]
    fn a_byte_order_mark_and_invalid_utf8_are_tolerated() {
        assert_eq!(parse(&[b"\xEF\xBB\xBFdata: a\n\n"]), ["a"]);
        assert_eq!(parse(&[b"data: \xFF\n\n"]), ["\u{FFFD}"]);
    }
}

#[cfg(test)]
mod properties {
    use super::*;
    use poolproof_property::{config, pieces};
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    fn events(stream: &[u8], sizes: &[usize]) -> Vec<Vec<u8>> {
        let mut splitter = Splitter::default();
        let mut events = Vec::new();
        for piece in pieces(stream, sizes) {
            splitter.feed(piece, |event| events.push(event.data.to_vec()));
        }
        events
    }

    /// Bytes of which many are line ends and beginnings of lines.
    fn nearly_a_stream() -> impl Strategy<Value = Vec<u8>> {
        const PARTS: &[&[u8]] = &[
            b"data",
            b":",
            b" ",
            b"\r",
            b"\n",
            b"\r\n",
            b"\n\n",
            b"id: 1",
            b"\xEF\xBB\xBF",
        ];
        let part = prop_oneof![
            3 => select(PARTS).prop_map(<[u8]>::to_vec),
            1 => vec(any::<u8>(), 0..4),
        ];
        vec(part, 0..40).prop_map(|parts| parts.concat())
    }

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn any_bytes_give_the_same_events_at_every_split(
            stream in nearly_a_stream(),
            sizes in vec(1_usize..9, 1..6),
        ) {
            prop_assert_eq!(events(&stream, &sizes), events(&stream, &[usize::MAX]));
        }

        #[test]
        fn written_events_are_read_back(
            written in vec(vec("[^\r\n]{0,12}", 1..4), 0..8),
            end in select(vec!["\n", "\r", "\r\n"]),
            comment in "[^\r\n]{0,12}",
            sizes in vec(1_usize..9, 1..6),
        ) {
            let mut stream = String::new();
            for lines in &written {
                stream += &format!(":{comment}{end}");
                for line in lines {
                    stream += &format!("data: {line}{end}");
                }
                stream += end;
            }
            let wanted: Vec<_> = written.iter().map(|lines| lines.join("\n").into_bytes()).collect();
            prop_assert_eq!(events(stream.as_bytes(), &sizes), wanted);
        }
    }
}
