//! The state of a stream after its events so far.

mod end;
mod messages;
mod responses;

use std::time::{Duration, Instant};

use super::chunk::{self, Part, Said, Token, Usage};
use super::fault::{Fault, Kind, shown};
use super::lenient::is_nothing;
use super::meaning::{Finish, ends_of, finish_of, is_error, is_ping};
use super::pattern::Pattern;
use super::repeats::Repeats;
use super::{Asked, Remark, Remarks};
use crate::sse::Event;
use poolproof_model::api::Api;

pub(super) use messages::whole as whole_message;
pub(super) use responses::whole as whole_response;

/// The data of the event that ends a stream.
const DONE: &[u8] = b"[DONE]";
/// The most choices that are kept separate.
const CHOICES_MAX: usize = 1024;

#[derive(Debug)]
pub(super) struct State {
    asked: Asked,
    /// The pattern of most frames, once one was parsed.
    pattern: Pattern,
    tokens: Tokens,
    repeats: Repeats,
    text: Vec<u8>,
    id: Option<Box<str>>,
    choices: Vec<Choice>,
    /// Whether a choice has ended or `[DONE]` has come: from there on no frame is usual.
    ending: bool,
    done: bool,
    finish: Option<String>,
    finished_at: Option<Instant>,
    usage: Option<(u64, u64)>,
    /// The tokens of the prompt by a usage that counts none of the answer.
    usage_zero: Option<u64>,
    /// The tokens of the prompt, where they come at the beginning of a stream.
    prompt: Option<u64>,
    /// The number of the last event, where events have one.
    sequence: Option<u64>,
    remarks: Remarks,
    /// The beginning of the last event without choices and usage.
    odd: Vec<u8>,
    /// The first fault.
    fault: Option<Fault>,
}

/// One choice of the answer.
#[derive(Debug)]
struct Choice {
    index: u64,
    has_text: bool,
    is_finished: bool,
}

/// When tokens arrived.
#[derive(Debug, Default)]
struct Tokens {
    first_at: Option<Instant>,
    answer_at: Option<Instant>,
    last_at: Option<Instant>,
    /// Whether the first one was reasoning.
    reasoned: bool,
    chunks: u64,
    together: u64,
}

impl Tokens {
    #[inline]
    fn came(&mut self, at: Instant, answers: bool, gap: &mut impl FnMut(Duration)) {
        self.chunks += 1;
        if let Some(last) = self.last_at.replace(at) {
            self.together += u64::from(last == at);
            gap(at - last);
        } else {
            self.first_at = Some(at);
            self.reasoned = !answers;
        }
        if answers && self.answer_at.is_none() {
            self.answer_at = Some(at);
        }
    }
}

impl State {
    pub(super) fn new(asked: Asked) -> Self {
        Self {
            asked,
            pattern: Pattern::default(),
            tokens: Tokens::default(),
            repeats: Repeats::default(),
            text: Vec::new(),
            id: None,
            choices: Vec::new(),
            ending: false,
            done: false,
            finish: None,
            finished_at: None,
            usage: None,
            usage_zero: None,
            prompt: None,
            sequence: None,
            remarks: Remarks::default(),
            odd: Vec::new(),
            fault: None,
        }
    }

    pub(super) fn text_bytes(&self) -> usize {
        self.text.len()
    }

    /// Takes the next event.
    #[inline]
    pub(super) fn event(&mut self, event: Event<'_>, at: Instant, gap: &mut impl FnMut(Duration)) {
        if !self.ending
            && self.pattern.is_of(event.name)
            && let Some(text) = self.pattern.text(event.data)
        {
            let answers = self.pattern.answers;
            self.tokens.came(at, answers, gap);
            self.repeats.add(text);
            if self.asked.text && answers {
                self.text.extend_from_slice(text);
            }
        } else {
            self.unusual(event, at, gap);
        }
    }

    /// Takes an event that does not match the pattern.
    fn unusual(&mut self, event: Event<'_>, at: Instant, gap: &mut impl FnMut(Duration)) {
        match self.asked.api {
            Api::Responses => self.response_event(event, at, gap),
            Api::Messages => self.message_event(event, at, gap),
            _ => self.chunk_event(event, at, gap),
        }
    }

    fn chunk_event(&mut self, event: Event<'_>, at: Instant, gap: &mut impl FnMut(Duration)) {
        let Event { name, data } = event;
        let trimmed = data.trim_ascii();
        if trimmed.starts_with(DONE) {
            return self.done(data);
        }
        if is_error(name) {
            return self.fail_by_name(event);
        }
        if is_ping(name) {
            return self.remarks.add(Remark::NamedEvent);
        }
        let Some(said) = chunk::read(data) else {
            return self.unread(event);
        };
        if let Some(error) = said.error {
            return self.fail(Fault::with_bytes(Kind::ErrorEvent, error.as_bytes()));
        }
        if self.done {
            return self.after_done(&said, data);
        }
        if let Some(id) = said.id {
            self.identify(id);
        }
        if let Some(usage) = said.usage {
            self.count(usage);
        } else if said.choices().next().is_none() {
            self.note_odd(data);
        }
        if said.choices.is_none() {
            self.remarks.add(Remark::NoChoices);
        }
        let first = self.choose(&said, data, at, gap);
        self.pattern.take(name, data, &said, &first);
    }

    /// Takes an event whose name is that of an error.
    fn fail_by_name(&mut self, event: Event<'_>) {
        let data = event.data.trim_ascii();
        let error = if data.is_empty() { event.name } else { data };
        self.fail(Fault::with_bytes(Kind::ErrorEvent, error));
    }

    /// Takes an event whose data is no JSON object.
    fn unread(&mut self, event: Event<'_>) {
        let Event { name, data } = event;
        let trimmed = data.trim_ascii();
        if trimmed.is_empty() || std::str::from_utf8(trimmed).is_ok_and(is_nothing) {
            self.remarks.add(Remark::EmptyData);
        } else if !name.is_empty() {
            self.remarks.add(Remark::NamedEvent);
        } else {
            let why = match std::str::from_utf8(data) {
                Ok(_) => "data that is no JSON object",
                Err(_) => "data that is not UTF-8",
            };
            let detail = format!("{why}: {}", shown(data));
            self.fail(Fault::new(Kind::NotJson, detail));
        }
    }

    /// Takes the id of the answer.
    fn identify(&mut self, id: &str) {
        match &self.id {
            Some(first) if **first != *id => self.remarks.add(Remark::IdsDiffer),
            Some(_) => {}
            None => self.id = Some(id.into()),
        }
    }

    /// Keeps the beginning of an event that is no part of the answer.
    fn note_odd(&mut self, data: &[u8]) {
        self.odd.clear();
        self.odd.extend_from_slice(&data[..data.len().min(200)]);
    }

    /// Takes a token of an answer that has no choices, and whether it is content. `text` is the inside of a JSON string.
    fn token(
        &mut self,
        (token, text): (Token, &str),
        is_content: bool,
        data: &[u8],
        at: Instant,
        gap: &mut impl FnMut(Duration),
    ) {
        let place = self.place(0);
        if self.choices[place].is_finished {
            self.fail_late(data);
        }
        self.choices[place].has_text = true;
        self.tokens.came(at, token == Token::Answer, gap);
        self.repeats.add(text.as_bytes());
        if self.asked.text && is_content {
            self.text.extend_from_slice(text.as_bytes());
        }
    }

    fn fail_late(&mut self, data: &[u8]) {
        let (reason, _) = ends_of(self.asked.api);
        let detail = format!("text after its {reason}: {}", shown(data));
        self.fail(Fault::new(Kind::OutOfOrder, detail));
    }

    /// Takes the finish reason of the choice at this place, as it is in the document.
    fn finish(&mut self, place: usize, reason: Option<&str>, data: &[u8], at: Instant) {
        match finish_of(self.asked.api, reason) {
            Finish::None => {}
            Finish::Aborted => {
                let (name, reason) = (ends_of(self.asked.api).0, reason.unwrap_or_default());
                let detail = format!("{name} {reason}: {}", shown(data));
                self.fail(Fault::new(Kind::Aborted, detail));
            }
            Finish::Reason(remark) => {
                remark
                    .into_iter()
                    .for_each(|remark| self.remarks.add(remark));
                if std::mem::replace(&mut self.choices[place].is_finished, true) {
                    self.remarks.add(Remark::FinishTwice);
                } else {
                    self.finished_at = Some(at);
                }
                self.ending = true;
                let reason = reason.map(chunk::inside).map(str::to_owned);
                self.finish = self.finish.take().or(reason);
            }
        }
    }

    /// Takes the choices of a document. Returns what the first one contains.
    fn choose<'a>(
        &mut self,
        said: &Said<'a>,
        data: &[u8],
        at: Instant,
        gap: &mut impl FnMut(Duration),
    ) -> Part<'a> {
        let mut token = Token::None;
        let mut first = None;
        for choice in said.choices() {
            let part = choice.part();
            let place = self.place(choice.index);
            if part.token != Token::None {
                if self.choices[place].is_finished {
                    self.fail_late(data);
                }
                self.choices[place].has_text = true;
                token = token.max(part.token);
                // Of several choices the first one stands for the answer.
                if self.asked.text && place == 0 {
                    self.text.extend_from_slice(part.content.as_bytes());
                }
            }
            if choice.finish.is_some_and(is_nothing) {
                self.remarks.add(Remark::FinishEmpty);
            }
            self.finish(place, choice.finish, data, at);
            first.get_or_insert(part);
        }
        let first = first.unwrap_or_default();
        if token != Token::None {
            self.tokens.came(at, token == Token::Answer, gap);
            // What differs in two frames with other text is their text, or the frames are the same.
            let text = first
                .only
                .map_or(data, |text| chunk::inside(text).as_bytes());
            self.repeats.add(text);
        }
        first
    }

    /// The place of the choice with an index.
    fn place(&mut self, index: u64) -> usize {
        let known = self.choices.iter().position(|it| it.index == index);
        known.unwrap_or_else(|| {
            if self.choices.len() < CHOICES_MAX {
                self.choices.push(Choice {
                    index,
                    has_text: false,
                    is_finished: false,
                });
            }
            self.choices.len() - 1
        })
    }

    fn count(&mut self, usage: Usage) {
        if usage.odd {
            self.remarks.add(Remark::UsageOdd);
        }
        match usage.completion {
            Some(0) => self.usage_zero = Some(usage.prompt.unwrap_or(0)),
            Some(output) => self.usage = Some((usage.prompt.unwrap_or(0), output)),
            None => {}
        }
    }

    fn done(&mut self, data: &[u8]) {
        if std::mem::replace(&mut self.done, true) {
            self.remarks.add(Remark::DoneTwice);
        }
        if data != DONE {
            self.remarks.add(Remark::DoneVariant);
        }
        self.ending = true;
    }

    /// No SDK reads on behind `[DONE]`: what comes there is lost.
    fn after_done(&mut self, said: &Said<'_>, data: &[u8]) {
        if said.choices().any(|it| it.part().token != Token::None) {
            let detail = format!("text after [DONE]: {}", shown(data));
            self.fail(Fault::new(Kind::OutOfOrder, detail));
        } else {
            self.remarks.add(Remark::AfterDone);
        }
    }

    #[cold]
    fn fail(&mut self, fault: Fault) {
        self.fault.get_or_insert(fault);
    }
}
