//! Streams and whole answers of Anthropic's Messages API.
//!
//! Source: Anthropic API, "Streaming messages" (order of the events, cumulative usage in `message_delta`, new events may come at any time),
//! "Prompt caching" (tokens of the prompt are those not cached, those written to the cache and those read from it), "Handling stop
//! reasons". Anthropic's SDKs know events by their names, and take a stream that ends without `message_stop`.

use std::time::{Duration, Instant};

use serde::de::{IgnoredAny, MapAccess};

use super::super::Remark;
use super::super::chunk::{self, Part, Token, Usage, inside, is_text, number, raw, some};
use super::super::fault::{Fault, Kind};
use super::super::lenient::{self, Lenient, List, Listed, Object};
use super::super::meaning::{is_error, is_ping};
use super::super::whole::Whole;
use super::{DONE, State};
use crate::sse::Event;

/// Data of an event, as far as it matters.
#[derive(Default)]
struct Said<'a> {
    kind: Option<&'a str>,
    error: Option<&'a str>,
    delta: Block<'a>,
    block: Block<'a>,
    message: Message<'a>,
    usage: Option<Counts>,
}

impl<'de> Object<'de> for Said<'de> {
    fn take<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        match key {
            "type" => self.kind = Some(inside(raw(map)?)).filter(|kind| !kind.is_empty()),
            "error" => self.error = some(raw(map)?),
            "delta" => self.delta = map.next_value::<Lenient<Block<'de>>>()?.0,
            "content_block" => self.block = map.next_value::<Lenient<Block<'de>>>()?.0,
            "message" => self.message = map.next_value::<Lenient<Message<'de>>>()?.0,
            "usage" => self.usage = lenient::filled(map)?,
            _ => {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// A content block or a change of one; also the change of a message.
#[derive(Default)]
struct Block<'a> {
    text: Option<&'a str>,
    thinking: Option<&'a str>,
    /// Whether it has a part of a call: its name, or a part of its input.
    calls: bool,
    stop: Option<&'a str>,
}

impl<'de> Object<'de> for Block<'de> {
    fn take<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        match key {
            "text" => self.text = Some(raw(map)?).filter(|it| is_text(it)),
            // A block of reasoning that is not shown has data.
            "thinking" | "data" => self.thinking = Some(raw(map)?).filter(|it| is_text(it)),
            "name" | "partial_json" => self.calls |= is_text(raw(map)?),
            "stop_reason" => self.stop = Some(raw(map)?).filter(|it| *it != "null"),
            _ => {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

impl Block<'_> {
    fn token(&self) -> Token {
        if self.text.is_some() || self.calls {
            Token::Answer
        } else if self.thinking.is_some() {
            Token::Thought
        } else {
            Token::None
        }
    }
}

/// A message object.
#[derive(Default)]
struct Message<'a> {
    id: Option<&'a str>,
    error: Option<&'a str>,
    content: Option<List<Block<'a>>>,
    stop: Option<&'a str>,
    usage: Option<Counts>,
}

impl<'de> Object<'de> for Message<'de> {
    fn take<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        match key {
            "id" => self.id = Some(raw(map)?).filter(|id| *id != "null" && *id != "\"\""),
            "error" => self.error = some(raw(map)?),
            "content" => self.content = map.next_value::<Listed<Block<'de>>>()?.0,
            "stop_reason" => self.stop = Some(raw(map)?).filter(|it| *it != "null"),
            "usage" => self.usage = lenient::filled(map)?,
            _ => {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// Counts of tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    /// Those of the prompt: not cached, written to the cache, and read from it.
    input: Option<u64>,
    output: Option<u64>,
    odd: bool,
}

impl<'de> Object<'de> for Counts {
    fn take<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        let json = raw(map)?;
        let found = number(json);
        match key {
            "input_tokens" => {
                let own = found.map_or(0, |it| it.0);
                self.input = Some(self.input.unwrap_or(0).saturating_add(own));
            }
            "cache_creation_input_tokens" | "cache_read_input_tokens" => {
                let cached = found.map_or(0, |it| it.0);
                self.input =
                    Some(self.input.unwrap_or(0).saturating_add(cached)).filter(|n| *n > 0);
                // Mostly null.
                return Ok(());
            }
            "output_tokens" => self.output = found.map(|it| it.0),
            _ => return Ok(()),
        }
        self.odd |= !found.is_some_and(|(_, is_whole)| is_whole);
        Ok(())
    }
}

/// Reads a message; `None` if it is no JSON object.
pub(in super::super) fn whole(body: &[u8]) -> Option<Whole<'_>> {
    let text = std::str::from_utf8(body).ok()?;
    let message: Message<'_> = lenient::object(text)?;
    let mut all = Part::default();
    let list = message.content.iter();
    for block in list.flat_map(|list| list.first.iter().chain(&list.more)) {
        all.token = all.token.max(block.token());
        let text = block.text.map(inside).unwrap_or_default();
        all.content.to_mut().push_str(text);
    }
    let error = message.error.or_else(|| {
        let is_other = message.content.is_none();
        chunk::read(body).filter(|_| is_other)?.error
    });
    let usage = message.usage.map(|counts| Usage {
        prompt: counts.input,
        completion: counts.output,
        odd: counts.odd,
    });
    Some(Whole {
        id: message.id,
        error,
        usage,
        choices: vec![(all, message.stop)],
    })
}

impl State {
    pub(super) fn message_event(
        &mut self,
        event: Event<'_>,
        at: Instant,
        gap: &mut impl FnMut(Duration),
    ) {
        let Event { name, data } = event;
        if data.trim_ascii().starts_with(DONE) {
            return self.remarks.add(Remark::DoneForeign);
        }
        if is_error(name) {
            return self.fail_by_name(event);
        }
        if is_ping(name) {
            // Part of this API.
            return;
        }
        let text = std::str::from_utf8(data).unwrap_or_default();
        let Some(said) = lenient::object::<Said<'_>>(text) else {
            return self.unread(event);
        };
        let name_text = std::str::from_utf8(name).unwrap_or_default();
        let kind = said.kind.unwrap_or(name_text);
        if said.error.is_some() || is_error(kind.as_bytes()) {
            let error = said.error.unwrap_or(text.trim_ascii());
            return self.fail(Fault::with_bytes(Kind::ErrorEvent, error.as_bytes()));
        }
        if self.done {
            let token = said.delta.token().max(said.block.token());
            return match token {
                Token::None => self.remarks.add(Remark::AfterDone),
                _ => self.fail_late(data),
            };
        }
        if name.is_empty() && !is_ping(kind.as_bytes()) {
            self.remarks.add(Remark::Unnamed);
        }
        match kind {
            "message_start" => {
                if let Some(id) = said.message.id {
                    self.identify(id);
                }
                self.prompt = said.message.usage.and_then(|counts| counts.input);
            }
            "content_block_start" => self.block(&said.block, data, at, gap),
            "content_block_delta" => {
                self.block(&said.delta, data, at, gap);
                let Block {
                    text,
                    thinking,
                    calls,
                    ..
                } = said.delta;
                let only = text.xor(thinking).filter(|_| !calls);
                if let Some(text) = only {
                    let answers = thinking.is_none();
                    self.pattern.take_around(name, data, text, answers);
                }
            }
            "message_delta" => {
                if let Some(counts) = said.usage {
                    let prompt = counts.input.filter(|n| *n > 0).or(self.prompt);
                    self.count(Usage {
                        prompt,
                        completion: counts.output,
                        odd: counts.odd,
                    });
                }
                let place = self.place(0);
                self.finish(place, said.delta.stop, data, at);
            }
            "message_stop" => (self.done, self.ending) = (true, true),
            "content_block_stop" | "ping" => {}
            _ => {
                self.note_odd(data);
                if !kind.is_empty() {
                    self.remarks.add(Remark::NamedEvent);
                }
            }
        }
    }

    /// Takes a content block or a change of one.
    fn block(
        &mut self,
        block: &Block<'_>,
        data: &[u8],
        at: Instant,
        gap: &mut impl FnMut(Duration),
    ) {
        let token = block.token();
        if token == Token::None {
            return;
        }
        let is_content = block.text.is_some();
        let text = block.text.or(block.thinking).map(inside);
        let text = text.unwrap_or(std::str::from_utf8(data).unwrap_or_default());
        self.token((token, text), is_content, data, at, gap);
    }
}

#[cfg(test)]
mod tests {
    use super::whole;

    #[test]
    fn counts_beyond_every_number_stay_the_largest_one() {
        let usage = r#"{"cache_read_input_tokens":5,"input_tokens":18446744073709551615}"#;
        let message = format!(r#"{{"type":"message","content":[],"usage":{usage}}}"#);
        let read = whole(message.as_bytes()).and_then(|message| message.usage);
        assert_eq!(read.and_then(|usage| usage.prompt), Some(u64::MAX));
    }
}
