//! Server-sent events, parsed as they arrive: LF, CR and CRLF line ends, any chunking.
//!
//! Source: WHATWG HTML, "Server-sent events", section 9.2.6 (interpreting an event stream).

use std::time::Instant;

/// The longest event that is kept, in bytes; what a server sends beyond it is dropped.
const EVENT_LIMIT_BYTES: usize = 1 << 20;

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// When its end arrived.
    pub at: Instant,
    /// Its data lines, joined by line feeds.
    pub data: String,
}

/// The state between two chunks.
#[derive(Debug, Default)]
pub struct Parser {
    line: Vec<u8>,
    data: Option<String>,
    after_cr: bool,
    past_start: bool,
}

impl Parser {
    /// Takes a chunk that arrived at `at`, and returns the events that it completes.
    pub fn feed(&mut self, chunk: &[u8], at: Instant) -> Vec<Frame> {
        let mut frames = Vec::new();
        for &byte in chunk {
            let after_cr = std::mem::take(&mut self.after_cr);
            match byte {
                b'\n' if after_cr => {}
                b'\n' | b'\r' => {
                    self.after_cr = byte == b'\r';
                    frames.extend(self.end_line(at));
                }
                _ if self.line.len() < EVENT_LIMIT_BYTES => self.line.push(byte),
                _ => {}
            }
        }
        frames
    }

    fn end_line(&mut self, at: Instant) -> Option<Frame> {
        let line = std::mem::take(&mut self.line);
        let mut line = line.as_slice();
        if !std::mem::replace(&mut self.past_start, true) {
            line = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line);
        }
        if line.is_empty() {
            return self.data.take().map(|data| Frame { at, data });
        }
        let (field, value) = match line.iter().position(|byte| *byte == b':') {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &[][..]),
        };
        if field == b"data" {
            let value = value.strip_prefix(b" ").unwrap_or(value);
            let value = String::from_utf8_lossy(value);
            match &mut self.data {
                None => self.data = Some(value.into_owned()),
                Some(data) if data.len() + value.len() < EVENT_LIMIT_BYTES => {
                    data.push('\n');
                    data.push_str(&value);
                }
                Some(_) => {}
            }
        }
        None
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
    fn an_unfinished_event_is_no_event() {
        assert!(parse(&[b"data: a\n"]).is_empty());
    }

    #[test]
    fn a_byte_order_mark_and_bytes_that_are_no_text_do_no_harm() {
        assert_eq!(parse(&[b"\xEF\xBB\xBFdata: a\n\n"]), ["a"]);
        assert_eq!(parse(&[b"data: \xFF\n\n"]), ["\u{FFFD}"]);
    }
}
