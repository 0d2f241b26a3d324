//! What is worth a remark about an answer that counts as good: it deviates from the text of the OpenAI API in a way that the common SDKs
//! accept, or a reader of the figures should know of it.
//!
//! Source: OpenAI API, streaming; openai-python `_streaming.py` and openai-node `core/streaming.ts` take a stream that ends without
//! `[DONE]`, whatever follows `[DONE]`, unknown keys, any id, and null in the place of every field.

/// A remark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Remark {
    /// The stream ended without `[DONE]`, after its finish reason.
    NoDone,
    /// `[DONE]` was the last line, without the empty line that ends an event.
    DoneUnterminated,
    /// The data of the last event begins with `[DONE]`, and is more than that.
    DoneVariant,
    /// `[DONE]` came several times.
    DoneTwice,
    /// A frame without text came after `[DONE]`.
    AfterDone,
    /// The frames have different ids.
    IdsDiffer,
    /// Data that is empty or null.
    EmptyData,
    /// An event with a name, such as `ping`, that is no part of the answer.
    NamedEvent,
    /// A line that is no field of an event stream.
    StrayLine,
    /// `choices` is absent or null.
    NoChoices,
    /// A finish reason that is empty instead of null.
    FinishEmpty,
    /// Several finish reasons for one choice.
    FinishTwice,
    /// A finish reason that the API does not have.
    FinishUnknown,
    /// No finish reason, although all tokens came.
    NoFinish,
    /// Usage of zero tokens beside text.
    UsageZero,
    /// Token counts that are null, fractional or strings.
    UsageOdd,
    /// Usage that counts fewer tokens than there are frames with text, none of which repeats another.
    UsageLess,
    /// A stream, although a whole answer was asked for.
    Streamed,
    /// The answer was ended by a content filter.
    ContentFilter,
    /// No usage: tokens are counted by frames.
    NoUsage,
    /// No text that is understood: there is no time to first token.
    NoText,
    /// Fewer tokens than were asked for.
    Shorter,
    /// `[DONE]` in a stream of an API that does not have it.
    DoneForeign,
    /// The numbers of the events do not rise.
    Sequence,
    /// Events with a `type` and without a name, which Anthropic's SDKs skip.
    Unnamed,
}

impl Remark {
    /// All remarks.
    pub const ALL: [Self; 25] = [
        Self::NoDone,
        Self::DoneUnterminated,
        Self::DoneVariant,
        Self::DoneTwice,
        Self::AfterDone,
        Self::IdsDiffer,
        Self::EmptyData,
        Self::NamedEvent,
        Self::StrayLine,
        Self::NoChoices,
        Self::FinishEmpty,
        Self::FinishTwice,
        Self::FinishUnknown,
        Self::NoFinish,
        Self::UsageZero,
        Self::UsageOdd,
        Self::UsageLess,
        Self::Streamed,
        Self::ContentFilter,
        Self::NoUsage,
        Self::NoText,
        Self::Shorter,
        Self::DoneForeign,
        Self::Sequence,
        Self::Unnamed,
    ];

    /// The name in the record.
    pub fn name(self) -> &'static str {
        self.row().0
    }

    /// What it means.
    pub fn in_words(self) -> &'static str {
        self.row().1
    }

    /// Whether the answer deviates from the API. The others are no fault of its form.
    pub fn is_deviation(self) -> bool {
        !matches!(
            self,
            Self::ContentFilter | Self::NoUsage | Self::NoText | Self::Shorter
        )
    }

    /// The remark with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }

    fn row(self) -> (&'static str, &'static str) {
        match self {
            Self::NoDone => ("no-done", "the stream ended without `[DONE]`"),
            Self::DoneUnterminated => (
                "done-unterminated",
                "`[DONE]` was not followed by a blank line",
            ),
            Self::DoneVariant => ("done-variant", "more than `[DONE]` in the last event"),
            Self::DoneTwice => ("done-twice", "`[DONE]` several times"),
            Self::AfterDone => ("after-done", "a frame without text after `[DONE]`"),
            Self::IdsDiffer => ("ids-differ", "frames with different ids"),
            Self::EmptyData => ("empty-data", "an event with empty or null data"),
            Self::NamedEvent => ("named-event", "an event with a name, such as ping"),
            Self::StrayLine => (
                "stray-line",
                "a line that is no field of an event stream, and was ignored",
            ),
            Self::NoChoices => ("no-choices", "a frame whose `choices` is absent or null"),
            Self::FinishEmpty => ("finish-empty", "an empty `finish_reason` instead of null"),
            Self::FinishTwice => ("finish-twice", "several finish reasons of one choice"),
            Self::FinishUnknown => ("finish-unknown", "a finish reason that the API lacks"),
            Self::NoFinish => ("no-finish", "all tokens, but no finish reason"),
            Self::UsageZero => ("usage-zero", "usage of 0 tokens beside text, ignored"),
            Self::UsageOdd => ("usage-odd", "token counts that are no whole numbers"),
            Self::UsageLess => (
                "usage-less",
                "usage counts fewer tokens than there are frames with text",
            ),
            Self::Streamed => ("streamed", "a stream, which was not asked for"),
            Self::ContentFilter => ("content-filter", "ended by a content filter"),
            Self::NoUsage => ("no-usage", "no usage: tokens are counted by frames"),
            Self::NoText => ("no-text", "no text: no time to first token"),
            Self::Shorter => ("shorter", "fewer tokens than were asked for"),
            Self::DoneForeign => ("done-foreign", "`[DONE]`, which this API does not have"),
            Self::Sequence => ("sequence", "events whose `sequence_number` does not rise"),
            Self::Unnamed => ("unnamed", "events without a name, which SDKs skip"),
        }
    }
}

/// A set of remarks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Remarks(u32);

impl Remarks {
    /// Adds a remark.
    pub fn add(&mut self, remark: Remark) {
        self.0 |= 1 << remark as u32;
    }

    /// Whether it has this one.
    pub fn has(self, remark: Remark) -> bool {
        self.0 & (1 << remark as u32) != 0
    }

    /// Whether it has none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Its remarks.
    pub fn iter(self) -> impl Iterator<Item = Remark> {
        Remark::ALL.into_iter().filter(move |it| self.has(*it))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_remark_has_a_name_and_a_place_of_its_own() {
        for (place, remark) in Remark::ALL.into_iter().enumerate() {
            assert_eq!(remark as usize, place);
            assert_eq!(Remark::named(remark.name()), Some(remark));
        }
        let mut remarks = Remarks::default();
        remarks.add(Remark::NoDone);
        remarks.add(Remark::Shorter);
        assert!(remarks.iter().eq([Remark::NoDone, Remark::Shorter]));
    }
}
