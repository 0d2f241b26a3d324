//! An answer in one piece.

use super::chunk::{self, Part, Token, Usage};
use super::fault::{Fault, Kind, shown};
use super::meaning::{Finish, ends_of, finish_of};
use super::{Answered, Asked, Remark, state};
use crate::whole::is_event_stream;
use poolproof_model::api::Api;

/// What a whole answer says.
#[derive(Default)]
pub(super) struct Whole<'a> {
    pub(super) id: Option<&'a str>,
    pub(super) error: Option<&'a str>,
    pub(super) usage: Option<Usage>,
    /// Its choices: what each contains, and its finish reason as it is in the document.
    pub(super) choices: Vec<(Part<'a>, Option<&'a str>)>,
}

/// Reads a whole answer; `None` if it is no JSON object.
fn read(api: Api, body: &[u8]) -> Option<Whole<'_>> {
    match api {
        Api::Responses => state::whole_response(body),
        Api::Messages => state::whole_message(body),
        _ => {
            let said = chunk::read(body)?;
            let choices = said.choices().map(|choice| (choice.part(), choice.finish));
            Some(Whole {
                choices: choices.collect(),
                id: said.id,
                error: said.error,
                usage: said.usage,
            })
        }
    }
}

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
    let Some(said) = read(asked.api, body) else {
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
    for (part, finish) in said.choices {
        is_text |= part.token != Token::None;
        if asked.text && answered.text.is_empty() {
            answered.text = part.content.as_bytes().to_vec();
        }
        match finish_of(asked.api, finish) {
            Finish::None => {}
            Finish::Aborted => {
                let (name, reason) = (ends_of(asked.api).0, finish.unwrap_or_default());
                let detail = format!("{name} {reason}: {}", shown(body));
                return Err(Fault::new(Kind::Aborted, detail));
            }
            Finish::Reason(remark) => {
                is_finished = true;
                remark
                    .into_iter()
                    .for_each(|remark| answered.remarks.add(remark));
                let reason = finish.map(chunk::inside).map(str::to_owned);
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
