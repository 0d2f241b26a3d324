//! Streams and whole answers of OpenAI's Responses API.
//!
//! Source: OpenAI API, Responses, streaming events; openai-python `_streaming.py`, which knows events by the `type` of their data,
//! `[DONE]` ends a stream, and an `error` in any event is one. Every event that ends with `.delta` has a part of what the model wrote,
//! those of a kind that is not known here too; other events that are not known are ignored.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use serde::de::{IgnoredAny, MapAccess};

use super::super::Remark;
use super::super::chunk::{self, Part, Token, Usage, has_text, inside, raw, some};
use super::super::fault::{Fault, Kind};
use super::super::lenient::{self, Lenient, List, Listed, Object};
use super::super::meaning::{Finish, finish_of, is_error, is_ping};
use super::super::whole::Whole;
use super::{DONE, State};
use crate::sse::Event;
use poolproof_model::api::Api;

/// Data of an event, as far as it matters.
#[derive(Default)]
struct Said<'a> {
    kind: Option<&'a str>,
    sequence: Option<u64>,
    error: Option<&'a str>,
    delta: Option<&'a str>,
    /// The whole text that ends a part.
    text: Option<&'a str>,
    item: Item<'a>,
    response: Option<&'a str>,
}

impl<'de> Object<'de> for Said<'de> {
    fn take<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        match key {
            "type" => self.kind = Some(inside(raw(map)?)).filter(|kind| !kind.is_empty()),
            "sequence_number" => self.sequence = raw(map)?.parse().ok(),
            "error" => self.error = some(raw(map)?),
            "delta" => self.delta = Some(raw(map)?).filter(|it| has_text(it)),
            "text" | "refusal" | "arguments" => {
                self.text = Some(raw(map)?).filter(|it| has_text(it)).or(self.text);
            }
            "item" => self.item = map.next_value::<Lenient<Item<'de>>>()?.0,
            "response" => self.response = Some(raw(map)?).filter(|it| it.starts_with('{')),
            _ => {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// An item of the output.
#[derive(Default)]
struct Item<'a> {
    kind: &'a str,
    content: Option<&'a str>,
    summary: bool,
    /// Whether it has a name, arguments or an input.
    calls: bool,
}

impl<'de> Object<'de> for Item<'de> {
    fn take<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        match key {
            "type" => self.kind = inside(raw(map)?),
            "content" => self.content = Some(raw(map)?).filter(|it| has_text(it)),
            "summary" | "encrypted_content" => self.summary |= has_text(raw(map)?),
            "name" | "arguments" | "input" => self.calls |= has_text(raw(map)?),
            _ => {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

impl<'a> Item<'a> {
    fn part(&self) -> Part<'a> {
        let thinks = self.kind == "reasoning";
        let content = match self.content {
            Some(json) if !thinks && json.starts_with('"') => inside(json).into(),
            Some(json) if !thinks => chunk::parts(json).0,
            _ => Cow::Borrowed(""),
        };
        let token = if !content.is_empty() || self.is_call() {
            Token::Answer
        } else if thinks && (self.summary || self.content.is_some()) {
            Token::Thought
        } else {
            Token::None
        };
        Part {
            token,
            content,
            only: None,
        }
    }

    /// Whether it is a call of a tool that has begun.
    fn is_call(&self) -> bool {
        self.calls && self.kind.ends_with("_call")
    }
}

/// A response object.
#[derive(Default)]
struct Document<'a> {
    id: Option<&'a str>,
    status: Option<&'a str>,
    reason: Option<&'a str>,
    error: Option<&'a str>,
    usage: Option<Usage>,
    output: Option<List<Item<'a>>>,
}

impl<'de> Object<'de> for Document<'de> {
    fn take<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        match key {
            "id" => self.id = Some(raw(map)?).filter(|id| *id != "null" && *id != "\"\""),
            "status" => self.status = some(raw(map)?),
            "incomplete_details" => self.reason = map.next_value::<Lenient<Details<'de>>>()?.0.0,
            "error" => self.error = some(raw(map)?),
            "usage" => self.usage = lenient::filled(map)?,
            "output" => self.output = map.next_value::<Listed<Item<'de>>>()?.0,
            _ => {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// Why a response is incomplete.
#[derive(Default)]
struct Details<'a>(Option<&'a str>);

impl<'de> Object<'de> for Details<'de> {
    fn take<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        let value = raw(map)?;
        if key == "reason" {
            self.0 = some(value);
        }
        Ok(())
    }
}

/// Reads a response object; `None` if it is no JSON object.
pub(in super::super) fn whole(body: &[u8]) -> Option<Whole<'_>> {
    let text = std::str::from_utf8(body).ok()?;
    let document: Document<'_> = lenient::object(text)?;
    let mut all = Part::default();
    let list = document.output.iter();
    for item in list.flat_map(|list| list.first.iter().chain(&list.more)) {
        let part = item.part();
        all.token = all.token.max(part.token);
        all.content.to_mut().push_str(&part.content);
    }
    let error = document.error.or_else(|| {
        let is_other = document.output.is_none();
        chunk::read(body).filter(|_| is_other)?.error
    });
    Some(Whole {
        id: document.id,
        error,
        usage: document.usage,
        choices: vec![(all, document.reason.or(document.status))],
    })
}

/// What the deltas that are known are of.
const DELTAS: [&str; 12] = [
    "output_text",
    "refusal",
    "function_call_arguments",
    "custom_tool_call_input",
    "mcp_call_arguments",
    "code_interpreter_call_code",
    "reasoning_text",
    "reasoning_summary_text",
    "reasoning",
    "reasoning_summary",
    "audio",
    "audio.transcript",
];

/// What an event stands for.
enum Meaning {
    /// A part of what the model writes: content, or another form of it.
    Delta {
        thinks: bool,
        is_content: bool,
    },
    /// The end of the response, with the reason that holds if the response names none.
    Final(&'static str),
    /// The end of a part, with the whole of it.
    Whole,
    Error,
    /// Another event of this API.
    Other,
    /// An event of no API.
    Foreign,
}

fn meaning(kind: &str) -> Meaning {
    match kind {
        "response.completed" | "response.done" => Meaning::Final("\"completed\""),
        "response.incomplete" => Meaning::Final("\"incomplete\""),
        "response.cancelled" => Meaning::Final("\"cancelled\""),
        "error" | "response.failed" | "response.error" => Meaning::Error,
        _ if !kind.starts_with("response.") => match is_error(kind.as_bytes()) {
            true => Meaning::Error,
            false => Meaning::Foreign,
        },
        _ if kind.ends_with(".delta") => Meaning::Delta {
            thinks: kind.contains("reasoning"),
            is_content: kind == "response.output_text.delta",
        },
        _ if kind.ends_with(".done") => Meaning::Whole,
        _ => Meaning::Other,
    }
}

impl State {
    pub(super) fn response_event(
        &mut self,
        event: Event<'_>,
        at: Instant,
        gap: &mut impl FnMut(Duration),
    ) {
        let Event { name, data } = event;
        if data.trim_ascii().starts_with(DONE) {
            // Clients read no further.
            (self.done, self.ending) = (true, true);
            return self.remarks.add(Remark::DoneForeign);
        }
        let name_text = std::str::from_utf8(name).unwrap_or_default();
        let text = std::str::from_utf8(data).unwrap_or_default();
        let Some(said) = lenient::object::<Said<'_>>(text) else {
            return match meaning(name_text) {
                Meaning::Error => self.fail_by_name(event),
                _ => self.unread(event),
            };
        };
        let kind = said.kind.unwrap_or(name_text);
        let by_name = matches!(meaning(name_text), Meaning::Error);
        let meaning = meaning(kind);
        let response = said.response.and_then(|json| whole(json.as_bytes()));
        let own = said.error.or(response.as_ref().and_then(|it| it.error));
        if own.is_some() || by_name || matches!(meaning, Meaning::Error) {
            let error = own.unwrap_or(text.trim_ascii());
            return self.fail(Fault::with_bytes(Kind::ErrorEvent, error.as_bytes()));
        }
        if let Some(number) = said.sequence
            && self
                .sequence
                .replace(number)
                .is_some_and(|last| number <= last)
        {
            self.remarks.add(Remark::Sequence);
        }
        if self.done {
            return match meaning {
                Meaning::Delta { .. } if said.delta.is_some() => self.fail_late(data),
                _ => self.remarks.add(Remark::AfterDone),
            };
        }
        if let Some(id) = response.as_ref().and_then(|it| it.id) {
            self.identify(id);
        }
        match meaning {
            Meaning::Delta { thinks, is_content } => {
                let Some(delta) = said.delta else { return };
                let of = kind.strip_prefix("response.").unwrap_or_default();
                if !DELTAS
                    .iter()
                    .any(|known| of.strip_suffix(".delta") == Some(known))
                {
                    self.remarks.add(Remark::NamedEvent);
                }
                let token = if thinks {
                    Token::Thought
                } else {
                    Token::Answer
                };
                let is_text = delta.starts_with('"');
                let text = if is_text { inside(delta) } else { delta };
                self.token((token, text), is_content && is_text, data, at, gap);
                // The text of a call or a refusal is no content.
                if is_text && said.sequence.is_none() && (thinks || is_content) {
                    self.pattern.take_around(name, data, delta, !thinks);
                }
            }
            Meaning::Final(reason) => self.end_response(response, reason, data, at, gap),
            // Servers that send no parts send the whole at its end.
            Meaning::Whole if self.tokens.chunks == 0 => {
                let part = said.item.part();
                let thinks = kind.contains("reasoning");
                if let Some(text) = said.text.filter(|it| it.starts_with('"')) {
                    let token = if thinks {
                        Token::Thought
                    } else {
                        Token::Answer
                    };
                    let is_content = kind == "response.output_text.done";
                    self.token((token, inside(text)), is_content, data, at, gap);
                } else if part.token != Token::None {
                    self.token((part.token, part.content.as_ref()), true, data, at, gap);
                }
            }
            // The name of a call is written by the model, as in the first delta of a chat's call.
            Meaning::Other if kind == "response.output_item.added" && said.item.is_call() => {
                self.token((Token::Answer, text), false, data, at, gap);
            }
            Meaning::Whole | Meaning::Other | Meaning::Error => {}
            Meaning::Foreign if kind.is_empty() => self.note_odd(data),
            Meaning::Foreign if is_ping(kind.as_bytes()) => self.remarks.add(Remark::NamedEvent),
            Meaning::Foreign => {
                self.note_odd(data);
                self.remarks.add(Remark::NamedEvent);
            }
        }
    }

    /// Takes the last event, with the response object if it has one.
    fn end_response(
        &mut self,
        response: Option<Whole<'_>>,
        reason: &str,
        data: &[u8],
        at: Instant,
        gap: &mut impl FnMut(Duration),
    ) {
        let response = response.unwrap_or_default();
        if let Some(usage) = response.usage {
            self.count(usage);
        }
        let mut own = None;
        for (part, status) in response.choices {
            if self.tokens.chunks == 0 && part.token != Token::None {
                self.token((part.token, part.content.as_ref()), true, data, at, gap);
            }
            own = status;
        }
        // Some servers leave the status as it was at the beginning.
        let is_given = !matches!(finish_of(Api::Responses, own), Finish::None);
        let place = self.place(0);
        self.finish(place, own.filter(|_| is_given).or(Some(reason)), data, at);
        (self.done, self.ending) = (true, true);
    }
}
