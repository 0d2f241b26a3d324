//! Whether an event stream is whole: its body ended as HTTP frames it, and its last frame is `[DONE]`.
//!
//! Source: OpenAI API, streaming: `data: [DONE]` terminates a stream. A second `[DONE]` does no harm; any other frame after the first
//! one belongs to no answer. An event without its empty line is no event (WHATWG HTML, section 9.2.6): a body that ends inside
//! `data: [DONE]` is not whole.
//!
//! Only the bytes of frames are compared. Their JSON is the caller's to judge.

/// The data of the frame that ends a stream.
const DONE: &[u8] = b"[DONE]";

/// Judges a stream frame by frame, without keeping any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Judge {
    done: bool,
    after_done: bool,
}

/// What one frame is to its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A part of the answer.
    Part,
    /// `[DONE]`.
    Done,
    /// A frame after `[DONE]` that is not `[DONE]` again.
    AfterDone,
}

/// How the body of an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyEnd {
    /// At its length, with its last chunk, or with the connection where HTTP frames it so.
    Framed,
    /// Before that, or not at all.
    Broken,
}

/// Whether a stream is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Its body ended as framed, and its last frame was `[DONE]`.
    Whole,
    /// Its body broke off, whatever its frames were.
    Broken,
    /// Its body ended as framed, without `[DONE]`.
    NoDone,
    /// A frame came after `[DONE]`.
    AfterDone,
}

impl Judge {
    /// Takes the data of the next frame.
    #[inline]
    pub fn frame(&mut self, data: &[u8]) -> Kind {
        if data == DONE {
            self.done = true;
            return Kind::Done;
        }
        self.after_done |= self.done;
        if self.done {
            Kind::AfterDone
        } else {
            Kind::Part
        }
    }

    /// Whether `[DONE]` has come.
    #[inline]
    pub fn is_done(self) -> bool {
        self.done
    }

    /// The verdict on the stream, once its body has ended.
    pub fn end(self, body: BodyEnd) -> Verdict {
        match body {
            BodyEnd::Broken => Verdict::Broken,
            BodyEnd::Framed if !self.done => Verdict::NoDone,
            BodyEnd::Framed if self.after_done => Verdict::AfterDone,
            BodyEnd::Framed => Verdict::Whole,
        }
    }
}

/// The verdict on a stream of which all frames are known.
pub fn judge<'a>(frames: impl IntoIterator<Item = &'a [u8]>, body: BodyEnd) -> Verdict {
    let mut judge = Judge::default();
    for data in frames {
        judge.frame(data);
    }
    judge.end(body)
}

/// Whether a `content-type` is that of an event stream; media types ignore case (RFC 9110, section 8.3.1).
pub fn is_event_stream(content_type: &[u8]) -> bool {
    const KIND: &[u8] = b"text/event-stream";
    content_type
        .get(..KIND.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(KIND))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(frames: &[&str], body: BodyEnd) -> Verdict {
        judge(frames.iter().map(|data| data.as_bytes()), body)
    }

    #[test]
    fn a_stream_is_whole_if_its_body_ends_as_framed_and_its_last_frame_is_done() {
        for (frames, wanted) in [
            (&["{}", "[DONE]"][..], Verdict::Whole),
            (&["[DONE]"], Verdict::Whole),
            (&["{}", "[DONE]", "[DONE]"], Verdict::Whole),
            (&[], Verdict::NoDone),
            (&["{}"], Verdict::NoDone),
            (&["{}", "[DONE] "], Verdict::NoDone),
            (&["{}", "[done]"], Verdict::NoDone),
            (&["{}", "[DONE]", "{}"], Verdict::AfterDone),
            (&["[DONE]", "{}", "[DONE]"], Verdict::AfterDone),
        ] {
            assert_eq!(of(frames, BodyEnd::Framed), wanted, "{frames:?}");
            assert_eq!(of(frames, BodyEnd::Broken), Verdict::Broken, "{frames:?}");
        }
    }

    #[test]
    fn a_content_type_is_known_in_any_case_and_with_parameters() {
        assert!(is_event_stream(b"text/event-stream"));
        assert!(is_event_stream(b"Text/Event-Stream; charset=utf-8"));
        assert!(!is_event_stream(b"application/json"));
        assert!(!is_event_stream(b"text/event"));
    }
}
