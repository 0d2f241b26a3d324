//! The frames of a stream, and whether they are one whole answer.

use super::Answered;
use super::chunk::{self, Pattern, Said};
use crate::failure::{Failed, Failure};
use poolproof_client::sse::Splitter;
use poolproof_client::whole::{BodyEnd, Judge, Kind, Verdict};

/// The state of a stream after its frames so far.
#[derive(Debug, Default)]
pub(super) struct Events {
    pub(super) splitter: Splitter,
    /// The pattern of most frames, once one was parsed.
    pub(super) pattern: Option<Pattern>,
    id: Option<String>,
    pub(super) finished: bool,
    pub(super) whole: Judge,
    usage: Option<(u64, u64)>,
}

impl Events {
    /// Takes a frame that does not match the pattern; `came` is called with its content if it has text.
    pub(super) fn frame(
        &mut self,
        frame: &[u8],
        known: &mut Option<Pattern>,
        came: impl FnOnce(&[u8]),
    ) -> Result<(), Failed> {
        let kind = self.whole.frame(frame);
        if kind == Kind::Done {
            return Ok(());
        }
        let Some(said) = chunk::read(frame) else {
            return Err(Failed::with_bytes(Failure::NotJson, frame));
        };
        if said.text {
            came(inside(frame, said.content_at));
        }
        if let Some(pattern) = Pattern::of(frame, &said) {
            *known = Some(pattern);
        }
        self.judge(said, kind, frame)
    }

    fn judge(&mut self, said: Said, kind: Kind, frame: &[u8]) -> Result<(), Failed> {
        if let Some(error) = said.error {
            return Err(Failed::with_bytes(Failure::ErrorEvent, error.as_bytes()));
        }
        if kind == Kind::AfterDone || (self.finished && said.text) {
            return Err(Failed::with_bytes(Failure::OutOfOrder, frame));
        }
        match (&self.id, said.id) {
            (Some(first), Some(id)) if *first != id => {
                return Err(Failed::new(
                    Failure::Mixed,
                    format!("{first:?}, then {id:?}"),
                ));
            }
            (None, id) => self.id = id,
            _ => {}
        }
        self.finished |= said.finished;
        self.usage = said.usage.or(self.usage);
        Ok(())
    }

    /// Judges a stream whose body ended as framed; `answered` has what it contained.
    pub(super) fn end(self, mut answered: Answered) -> Result<Answered, Failed> {
        let failure = match self.whole.end(BodyEnd::Framed) {
            Verdict::Whole => None,
            Verdict::Broken => Some(Failure::Cut),
            Verdict::NoDone => Some(Failure::NoDone),
            Verdict::AfterDone => Some(Failure::OutOfOrder),
        };
        if let Some(failure) = failure {
            return Err(Failed::new(
                failure,
                format!("ended after {} frames with text", answered.chunks),
            ));
        }
        if answered.chunks == 0 && !self.finished {
            return Err(Failed::new(
                Failure::NoAnswer,
                "a stream without text or finish reason",
            ));
        }
        answered.usage = self.usage;
        match self.usage {
            Some((_, counted)) if answered.chunks > counted => Err(Failed::new(
                Failure::Repeated,
                format!(
                    "{} frames with text, {counted} tokens by its usage",
                    answered.chunks
                ),
            )),
            _ => Ok(answered),
        }
    }
}

/// The inside of a JSON string, between its quotes.
pub(super) fn inside(document: &[u8], place: Option<(usize, usize)>) -> &[u8] {
    place.map_or(&[], |(start, end)| &document[start + 1..end - 1])
}
