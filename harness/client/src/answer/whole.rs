//! An answer in one piece.

use super::chunk::{self, Token};
use super::fault::{Fault, Kind, shown};
use super::meaning::{Finish, finish_of};
use super::{Answered, Asked, Remark};
use crate::whole::is_event_stream;

/// Judges the body of an answer of status 200 that is no event stream, by its content type.
pub fn document(body: &[u8], content_type: Option<&[u8]>, asked: Asked) -> Result<Answered, Fault> {
    let kind = content_type.filter(|kind| !is_event_stream(kind));
    let kind = kind.map_or("no content-type".to_owned(), |kind| {
        format!("content-type is {}", shown(kind))
    });
    if body.trim_ascii().is_empty() {
        return Err(Fault::new(Kind::NotJson, format!("empty body, {kind}")));
    }
    let with_kind = |why: Kind| {
        let detail = match asked.stream {
            true => format!("{kind}, not text/event-stream: {}", shown(body)),
            false => format!("{kind}: {}", shown(body)),
        };
        Fault::new(why, detail)
    };
    let Some(said) = chunk::read(body) else {
        let why = if asked.stream && looks_like_events(body) {
            Kind::NotStreamed
        } else {
            Kind::NotJson
        };
        return Err(with_kind(why));
    };
    if let Some(error) = said.error {
        return Err(Fault::with_bytes(Kind::ErrorBody, error.as_bytes()));
    }
    let mut answered = Answered::default();
    let (mut is_text, mut is_finished) = (false, false);
    for choice in said.choices() {
        let part = choice.part();
        is_text |= part.token != Token::None;
        if asked.text && answered.text.is_empty() {
            answered.text = part.content.as_bytes().to_vec();
        }
        match finish_of(choice.finish) {
            Finish::None => {}
            Finish::Aborted => {
                let reason = choice.finish.unwrap_or_default();
                let detail = format!("finish_reason {reason}: {}", shown(body));
                return Err(Fault::new(Kind::Aborted, detail));
            }
            Finish::Reason(remark) => {
                is_finished = true;
                remark
                    .into_iter()
                    .for_each(|remark| answered.remarks.add(remark));
                let reason = choice.finish.map(chunk::inside).map(str::to_owned);
                answered.finish = answered.finish.or(reason);
            }
        }
    }
    if !is_text && !is_finished {
        return Err(Fault::with_bytes(Kind::NoAnswer, body));
    }
    if asked.stream {
        return Err(with_kind(Kind::NotStreamed));
    }
    if !is_finished {
        answered.remarks.add(Remark::NoFinish);
    }
    let usage = said
        .usage
        .and_then(|usage| Some((usage, usage.completion?)));
    match usage {
        Some((_, 0)) if is_text => answered.remarks.add(Remark::UsageZero),
        Some((usage, output)) => {
            answered.usage = Some((usage.prompt.unwrap_or(0), output));
            if asked.tokens.is_some_and(|asked| output < u64::from(asked)) {
                answered.remarks.add(Remark::Shorter);
            }
        }
        None => answered.remarks.add(Remark::NoUsage),
    }
    if said.usage.is_some_and(|usage| usage.odd) {
        answered.remarks.add(Remark::UsageOdd);
    }
    answered.judged_strictly(asked)
}

/// Whether a body begins as an event stream does.
fn looks_like_events(body: &[u8]) -> bool {
    let body = body.trim_ascii_start();
    let fields: [&[u8]; 5] = [b"data:", b"event:", b"id:", b"retry:", b":"];
    fields.iter().any(|field| body.starts_with(field))
}

impl Answered {
    /// The answer, unless it deviates from the API and that is a fault.
    pub(super) fn judged_strictly(self, asked: Asked) -> Result<Self, Fault> {
        let mut deviations = self.remarks.iter().filter(|it| it.is_deviation());
        match deviations.next().filter(|_| asked.strict) {
            Some(remark) => Err(Fault::of(remark)),
            None => Ok(self),
        }
    }
}
