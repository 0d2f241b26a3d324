//! What is measured of an answer: one enum for what is recorded, reported and limited by objectives.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A measured time. Each has one definition; its formula is part of the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Series {
    /// Until the first token, from when the request was due.
    Ttft,
    /// Until the first token, from when the request was sent.
    TtftFromSend,
    /// Until the end of the answer, from when the request was due.
    E2e,
    /// Until the end of the answer, from when the request was sent.
    E2eFromSend,
    /// Time per output token behind the first, one value per answer.
    Tpot,
    /// Between two frames with text, one value per pair.
    ItlChunk,
    /// Between two tokens, where frames may have several: the mean of each answer.
    ItlToken,
}

impl Series {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Ttft,
        Self::TtftFromSend,
        Self::E2e,
        Self::E2eFromSend,
        Self::Tpot,
        Self::ItlChunk,
        Self::ItlToken,
    ];

    /// Its name in the record, without unit.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ttft => "ttft",
            Self::TtftFromSend => "ttft_from_send",
            Self::E2e => "e2e",
            Self::E2eFromSend => "e2e_from_send",
            Self::Tpot => "tpot",
            Self::ItlChunk => "itl_chunk",
            Self::ItlToken => "itl_token",
        }
    }

    /// Its formula. Where another tool computes the same, the id names it: tools mean different things by the same word.
    pub fn formula(self) -> &'static str {
        match self {
            Self::Ttft => "first frame with text - due",
            Self::TtftFromSend => "first frame with text - first byte sent (vllm: ttft)",
            Self::E2e => "end of the answer - due",
            Self::E2eFromSend => "end of the answer - first byte sent (vllm: e2el)",
            Self::Tpot => "(e2e_from_send - ttft_from_send) / (output tokens - 1) (vllm: tpot)",
            Self::ItlChunk => "gaps between frames with text, of all answers (vllm: itl)",
            Self::ItlToken => {
                "(last - first frame with text) / (output tokens - output tokens of a mean frame), of each answer"
            }
        }
    }

    /// Whether only streamed answers have it.
    pub fn needs_stream(self) -> bool {
        !matches!(self, Self::E2e | Self::E2eFromSend)
    }

    /// Whether each answer has one value at most. Gaps between frames are several per answer, and depend on one another.
    pub fn is_per_answer(self) -> bool {
        self != Self::ItlChunk
    }
}
