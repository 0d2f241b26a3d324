//! The times measured for a response. One enum covers what is recorded, reported and limited by objectives.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A measured time. Each has one definition; its formula is part of the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Series {
    /// From the due time to the first token.
    Ttft,
    /// From the send time to the first token.
    TtftFromSend,
    /// From the due time to the end of the response: its last chunk with a token or a finish reason.
    E2e,
    /// The same from the send time.
    E2eFromSend,
    /// The time per output token after the first, one value per response.
    Tpot,
    /// The gap between two consecutive frames with text, one value per gap.
    ItlChunk,
    /// The mean gap between two tokens of a response, where frames may carry several tokens.
    ItlToken,
    /// From the due time to the first token of the answer, for responses that reason first. Their TTFT is that of the
    /// reasoning.
    Ttfa,
}

impl Series {
    /// All series.
    pub const ALL: [Self; 8] = [
        Self::Ttft,
        Self::TtftFromSend,
        Self::E2e,
        Self::E2eFromSend,
        Self::Tpot,
        Self::ItlChunk,
        Self::ItlToken,
        Self::Ttfa,
    ];

    /// The name in the record, without unit.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ttft => "ttft",
            Self::TtftFromSend => "ttft_from_send",
            Self::E2e => "e2e",
            Self::E2eFromSend => "e2e_from_send",
            Self::Tpot => "tpot",
            Self::ItlChunk => "itl_chunk",
            Self::ItlToken => "itl_token",
            Self::Ttfa => "ttfa",
        }
    }

    /// The formula. It names another tool's metric where that tool computes the same, because tools use the same word
    /// for different times.
    pub fn formula(self) -> &'static str {
        match self {
            Self::Ttft => "first frame with text - due",
            Self::TtftFromSend => "first frame with text - first byte sent (vllm: ttft)",
            Self::E2e => "last frame with text or finish reason - due",
            Self::E2eFromSend => {
                "last frame with text or finish reason - first byte sent (vllm: e2el)"
            }
            Self::Tpot => "(e2e_from_send - ttft_from_send) / (output tokens - 1) (vllm: tpot)",
            Self::ItlChunk => "gaps between frames with text, of good answers (vllm: itl)",
            Self::ItlToken => {
                "(last - first frame with text) / (output tokens - output tokens of a mean frame), of each answer"
            }
            Self::Ttfa => {
                "first frame with text that is no reasoning - due, of answers that reason first"
            }
        }
    }

    /// Whether only streamed responses have it.
    pub fn needs_stream(self) -> bool {
        !matches!(self, Self::E2e | Self::E2eFromSend)
    }

    /// Whether each response has at most one value. Gaps between frames are several per response, and depend on one
    /// another.
    pub fn is_per_answer(self) -> bool {
        self != Self::ItlChunk
    }
}
