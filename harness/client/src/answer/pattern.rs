//! Frames that differ only in their text, as nearly all frames of a stream do. Comparing bytes takes a hundredth of the time that parsing
//! their JSON takes.

use super::chunk::{Part, Said, Token};

/// The bytes around the text of a frame.
#[derive(Debug, Default)]
pub(super) struct Pattern {
    /// The name of its events; mostly empty.
    name: Vec<u8>,
    before: Vec<u8>,
    after: Vec<u8>,
    /// Whether the text is part of the answer, and not of the reasoning before it.
    pub(super) answers: bool,
}

impl Pattern {
    /// Takes the pattern of this frame, if it has one text and nothing else of interest. `first` is what its first choice contains.
    /// Returns whether it has.
    pub(super) fn take(
        &mut self,
        name: &[u8],
        frame: &[u8],
        said: &Said<'_>,
        first: &Part<'_>,
    ) -> bool {
        let only = only_text(said, first);
        if let Some((text, answers)) = only {
            self.take_around(name, frame, text, answers);
        }
        only.is_some()
    }

    /// Takes the pattern of a frame around its text, which is a JSON string within it.
    pub(super) fn take_around(&mut self, name: &[u8], frame: &[u8], text: &str, answers: bool) {
        let start = text.as_ptr().addr() - frame.as_ptr().addr();
        self.name.clear();
        self.name.extend_from_slice(name);
        self.before.clear();
        self.before.extend_from_slice(&frame[..start]);
        self.after.clear();
        self.after.extend_from_slice(&frame[start + text.len()..]);
        self.answers = answers;
    }

    /// Whether events of this pattern have this name. Mostly both have none, and no bytes are compared: the `memcmp` of glibc takes 90 ns
    /// for none at the address of an empty vector, which is not mapped.
    #[inline]
    pub(super) fn is_of(&self, name: &[u8]) -> bool {
        if name.is_empty() {
            self.name.is_empty()
        } else {
            name == self.name
        }
    }

    /// The text of a frame that matches this pattern, as the inside of a JSON string. Texts with escapes or invalid UTF-8 are left to
    /// the JSON parser.
    #[inline]
    pub(super) fn text<'a>(&self, frame: &'a [u8]) -> Option<&'a [u8]> {
        if self.before.is_empty() {
            return None;
        }
        let rest = frame.strip_prefix(self.before.as_slice())?;
        let [b'"', text @ .., b'"'] = rest.strip_suffix(self.after.as_slice())? else {
            return None;
        };
        let plain = !text.is_empty()
            && text
                .iter()
                .all(|byte| !matches!(byte, b'"' | b'\\' | 0..0x20))
            && (text.is_ascii() || std::str::from_utf8(text).is_ok());
        plain.then_some(text)
    }
}

/// The only text of a frame, with its quotes, and whether it is part of the answer; `None` if anything else in the frame is of interest.
fn only_text<'a>(said: &Said<'_>, first: &Part<'a>) -> Option<(&'a str, bool)> {
    let list = said.choices.as_ref().filter(|list| list.more.is_empty())?;
    let goes_on = list.first.as_ref()?.finish.is_none();
    let plain = goes_on && said.usage.is_none() && said.error.is_none();
    let text = first.only.filter(|_| plain)?;
    Some((text, first.token == Token::Answer))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::chunk::read;
    use super::*;

    const TOKEN: &[u8] = br#"{"id":"c-1","usage":null,"object":"chat.completion.chunk","choices":[{"index":0,"finish_reason":null,"delta":{"content":"on "}}]}"#;

    #[test]
    fn a_pattern_matches_frames_that_differ_only_in_text() {
        let mut pattern = Pattern::default();
        let take = |pattern: &mut Pattern, frame: &[u8]| {
            let said = read(frame).unwrap();
            let first = said.choices().next().unwrap().part();
            pattern.take(b"", frame, &said, &first)
        };
        assert_eq!(pattern.text(b"\"on \""), None);
        assert!(take(&mut pattern, TOKEN));
        let with = |from: &str, to: &str| {
            let text = String::from_utf8(TOKEN.to_vec()).unwrap();
            assert!(text.contains(from));
            text.replace(from, to).into_bytes()
        };
        assert!(pattern.answers);
        let greeting = with("\"on \"", "\"grüße\"");
        assert_eq!(pattern.text(&greeting), Some("grüße".as_bytes()));
        for (from, to) in [
            ("\"on \"", "\"\""),
            ("\"on \"", "\"a\\\"b\""),
            ("\"on \"", "\"a\",\"b\":\"c\""),
            ("\"on \"", "null"),
            ("c-1", "c-2"),
            ("null,\"delta", "\"stop\",\"delta"),
        ] {
            assert_eq!(pattern.text(&with(from, to)), None, "{to}");
        }
        // The two ends must not overlap.
        assert_eq!(pattern.text(&TOKEN[..TOKEN.len() - 8]), None);
        let finish = with("null,\"delta", "\"stop\",\"delta");
        assert!(!take(&mut pattern, &finish));
        let two = with("}}]}", "}},{\"index\":1,\"delta\":{\"content\":\"x\"}}]}");
        assert!(!take(&mut pattern, &two));
        let both = with("\"content\"", "\"reasoning\":\"on \",\"content\"");
        assert!(!take(&mut pattern, &both));
    }
}
