//! A streamed answer put together from its frames.

use poolproof_client::answer::Remark;
use poolproof_client::{Ending, Exchange};

/// What a stream says, put together.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Answer {
    pub(super) text: String,
    /// Empty if none was given.
    pub(super) finish_reason: String,
    pub(super) completion_tokens: Option<u64>,
    /// Its deviations from the API, of those that lost, doubled or mixed frames cause.
    pub(super) deviations: Vec<Remark>,
}

/// Deviations that the common SDKs accept, and that lost, doubled or mixed frames cause.
const DAMAGE: [Remark; 7] = [
    Remark::NoDone,
    Remark::DoneUnterminated,
    Remark::IdsDiffer,
    Remark::DoneTwice,
    Remark::AfterDone,
    Remark::FinishTwice,
    Remark::UsageLess,
];
/// Of these, those that are damage where it is not known what the endpoints themselves send: an end that was lost, and frames of several
/// answers.
pub(super) const DAMAGE_ANYWHERE: [Remark; 2] = [Remark::NoDone, Remark::IdsDiffer];

/// Puts a stream together; says what it is that no good stream is, by the judgement that load runs use too.
pub(super) fn read(exchange: &Exchange) -> Result<Answer, String> {
    if !exchange.is_event_stream() || !exchange.is_success() {
        let frames = exchange.frames.len();
        return Err(format!("{frames} frames, {}", end_in_words(exchange)));
    }
    let answered = exchange.answered().map_err(|fault| fault.to_string())?;
    let deviations = DAMAGE.into_iter().filter(|it| answered.remarks.has(*it));
    Ok(Answer {
        text: answered.text(),
        completion_tokens: answered.usage.map(|(_, tokens)| tokens),
        deviations: deviations.collect(),
        finish_reason: answered.finish.unwrap_or_default(),
    })
}

fn end_in_words(exchange: &Exchange) -> String {
    if let (true, Err(fault)) = (exchange.status == Some(200), exchange.answered())
        && exchange.ending == Ending::Complete
    {
        return fault.to_string();
    }
    match exchange.frames.last() {
        Some(last) if exchange.status == Some(200) => {
            let data: String = last.data.chars().take(40).collect();
            format!("the last of them {data:?}, then {:?}", exchange.ending)
        }
        _ => exchange.describe(),
    }
}
