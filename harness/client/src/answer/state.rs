//! The state of a stream after its events so far, and the judgement at its end.

use std::time::{Duration, Instant};

use super::chunk::{self, Said, Token, Usage};
use super::fault::{Fault, Kind, shown};
use super::lenient::is_nothing;
use super::pattern::Pattern;
use super::repeats::Repeats;
use super::{Answered, Asked, Remark, Remarks};
use crate::sse::{Event, Rest};

/// The data of the event that ends a stream.
const DONE: &[u8] = b"[DONE]";
/// The most choices that are told apart.
const CHOICES_MAX: usize = 1024;

#[derive(Debug)]
pub(super) struct State {
    asked: Asked,
    /// The pattern of most frames, once one was parsed.
    pattern: Option<Pattern>,
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
            pattern: None,
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
        if let Some(pattern) = &self.pattern
            && event.name.is_empty()
            && !self.ending
            && let Some(text) = pattern.text(event.data)
        {
            let answers = pattern.answers;
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
        let Event { name, data } = event;
        let trimmed = data.trim_ascii();
        if trimmed.starts_with(DONE) {
            return self.done(data);
        }
        if is_error(name) {
            let error = if trimmed.is_empty() { name } else { trimmed };
            return self.fail(Fault::with_bytes(Kind::ErrorEvent, error));
        }
        if is_ping(name) {
            return self.remarks.add(Remark::NamedEvent);
        }
        let Some(said) = chunk::read(data) else {
            return if trimmed.is_empty() || std::str::from_utf8(trimmed).is_ok_and(is_nothing) {
                self.remarks.add(Remark::EmptyData)
            } else if !name.is_empty() {
                self.remarks.add(Remark::NamedEvent)
            } else {
                let why = match std::str::from_utf8(data) {
                    Ok(_) => "data that is no JSON object",
                    Err(_) => "data that is not UTF-8",
                };
                let detail = format!("{why}: {}", shown(data));
                self.fail(Fault::new(Kind::NotJson, detail))
            };
        };
        if let Some(error) = said.error {
            return self.fail(Fault::with_bytes(Kind::ErrorEvent, error.as_bytes()));
        }
        if self.done {
            return self.after_done(&said, data);
        }
        if let Some(id) = said.id {
            match &self.id {
                Some(first) if **first != *id => self.remarks.add(Remark::IdsDiffer),
                Some(_) => {}
                None => self.id = Some(id.into()),
            }
        }
        if let Some(usage) = said.usage {
            self.count(usage);
        } else if said.choices().next().is_none() {
            self.odd.clear();
            self.odd.extend_from_slice(&data[..data.len().min(200)]);
        }
        if said.choices.is_none() {
            self.remarks.add(Remark::NoChoices);
        }
        self.choose(&said, data, at, gap);
        // A pattern is of no use where each frame is counted as well.
        if let Some(pattern) = Pattern::of(data, &said) {
            self.pattern = Some(pattern);
        }
    }

    fn choose(
        &mut self,
        said: &Said<'_>,
        data: &[u8],
        at: Instant,
        gap: &mut impl FnMut(Duration),
    ) {
        let mut token = Token::None;
        for choice in said.choices() {
            let part = choice.part();
            let place = self.place(choice.index);
            if part.token != Token::None {
                if self.choices[place].is_finished {
                    let detail = format!("text after its finish_reason: {}", shown(data));
                    self.fail(Fault::new(Kind::OutOfOrder, detail));
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
            match finish_of(choice.finish) {
                Finish::None => {}
                Finish::Aborted => {
                    let reason = choice.finish.unwrap_or_default();
                    let detail = format!("finish_reason {reason}: {}", shown(data));
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
                    let reason = choice.finish.map(chunk::inside).map(str::to_owned);
                    self.finish = self.finish.take().or(reason);
                }
            }
        }
        if token != Token::None {
            self.tokens.came(at, token == Token::Answer, gap);
            // What differs in two frames with other text is their text, or the frames are the same.
            let one = said.choices().next().and_then(|it| it.part().only);
            self.repeats
                .add(one.map_or(data, |text| chunk::inside(text).as_bytes()));
        }
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

    /// Judges the stream; `rest` is what came after its last whole event.
    pub(super) fn end(mut self, rest: Rest) -> Result<Answered, Fault> {
        self.take_rest(&rest);
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let chunks = self.tokens.chunks;
        let came = format!("{chunks} frames with text{}", self.usage_in_words());
        let mut last = shown(if self.odd.is_empty() {
            &rest.stray
        } else {
            &self.odd
        });
        if !last.is_empty() {
            last.insert_str(0, "; beside them ");
        }
        let spoke = self
            .choices
            .iter()
            .filter(|it| it.has_text || it.is_finished);
        let is_finished = self.finished_at.is_some() && spoke.clone().all(|it| it.is_finished);
        if chunks == 0 && !is_finished {
            let detail = format!("a stream without text or finish reason{last}");
            return Err(Fault::new(Kind::NoAnswer, detail));
        }
        let mut stray = rest.stray.split(|byte| *byte == b'\n');
        let is_bare_done = stray.any(|line| line.trim_ascii().starts_with(DONE));
        if !self.done && is_bare_done {
            let detail = format!("`[DONE]` came without `data:`, after {came}");
            return Err(Fault::new(Kind::NoDone, detail));
        }
        match (self.done, is_finished) {
            (true, true) => {}
            (false, true) => self.remarks.add(Remark::NoDone),
            // A server that ends one choice with a reason ends all of them so.
            (true, false) if self.finished_at.is_none() && self.all_came() => {
                self.remarks.add(Remark::NoFinish);
            }
            (true, false) => {
                let detail = format!("`[DONE]` without a finish_reason, after {came}{last}");
                return Err(Fault::new(Kind::NoFinish, detail));
            }
            (false, false) => {
                let detail =
                    format!("ended without a finish_reason and `[DONE]`, after {came}{last}");
                return Err(Fault::new(Kind::NoDone, detail));
            }
        }
        self.judge_usage()?;
        if !self.asked.stream {
            self.remarks.add(Remark::Streamed);
        }
        let tokens = &self.tokens;
        let answered = Answered {
            first_token_at: tokens.first_at,
            first_answer_at: tokens.answer_at,
            last_token_at: tokens.last_at,
            reasoned: tokens.reasoned,
            ended_at: tokens.last_at.max(self.finished_at),
            chunks,
            together: tokens.together,
            usage: self.usage,
            text: self.text,
            finish: self.finish,
            remarks: self.remarks,
        };
        answered.judged_strictly(self.asked)
    }

    /// Takes what came after the last whole event.
    fn take_rest(&mut self, rest: &Rest) {
        if let Some(data) = &rest.data {
            if data.trim_ascii().starts_with(DONE) && !self.done {
                self.done = true;
                self.remarks.add(Remark::DoneUnterminated);
            } else if let Some(error) = chunk::read(data).and_then(|said| said.error) {
                self.fail(Fault::with_bytes(Kind::ErrorEvent, error.as_bytes()));
            } else {
                self.odd = data[..data.len().min(200)].to_vec();
            }
        }
        if rest.stray.is_empty() {
            return;
        }
        // An error that a server wrote as if the body were no event stream.
        if let Some(error) = chunk::read(&rest.stray).and_then(|said| said.error) {
            self.fail(Fault::with_bytes(Kind::ErrorEvent, error.as_bytes()));
        }
        self.remarks.add(Remark::StrayLine);
    }

    /// Whether all tokens came, by the usage or by the frames, as far as it is known how many were asked for.
    fn all_came(&self) -> bool {
        let counted = self.usage.map_or(0, |(_, output)| output);
        let came = counted.max(self.tokens.chunks);
        self.asked
            .tokens
            .is_none_or(|asked| came >= u64::from(asked))
    }

    fn usage_in_words(&self) -> String {
        match self.usage {
            Some((_, output)) => format!(", {output} tokens by its usage"),
            None => String::new(),
        }
    }

    fn judge_usage(&mut self) -> Result<(), Fault> {
        let chunks = self.tokens.chunks;
        match self.usage {
            Some((_, counted)) if chunks > counted => {
                if self.repeats.explain(chunks - counted) {
                    let detail = format!(
                        "{chunks} frames with text, {counted} tokens by its usage, and frames repeat those before"
                    );
                    return Err(Fault::new(Kind::Repeated, detail));
                }
                self.remarks.add(Remark::UsageLess);
            }
            Some(_) => {}
            None if chunks == 0 => self.usage = self.usage_zero.map(|prompt| (prompt, 0)),
            None if self.usage_zero.is_some() => self.remarks.add(Remark::UsageZero),
            None => self.remarks.add(Remark::NoUsage),
        }
        if chunks == 0 {
            self.remarks.add(Remark::NoText);
        }
        let output = self.usage.map(|(_, output)| output);
        if let (Some(asked), Some(output)) = (self.asked.tokens, output)
            && output < u64::from(asked)
        {
            self.remarks.add(Remark::Shorter);
        }
        Ok(())
    }
}

/// Whether an event of this name is an error: `error`, `server_error`, `response.failed` and their like.
fn is_error(name: &[u8]) -> bool {
    let name = name.to_ascii_lowercase();
    let has = |word: &[u8]| name.windows(word.len()).any(|part| part == word);
    has(b"error") || has(b"exception") || name.ends_with(b"failed")
}

/// Whether an event of this name keeps a connection alive, and is no part of the answer.
fn is_ping(name: &[u8]) -> bool {
    let names: [&[u8]; 5] = [
        b"ping",
        b"keepalive",
        b"keep-alive",
        b"keep_alive",
        b"heartbeat",
    ];
    names.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// What a finish reason means.
pub(super) enum Finish {
    /// There is none.
    None,
    /// The answer was broken off.
    Aborted,
    /// The answer came to its end, perhaps with a remark.
    Reason(Option<Remark>),
}

/// The meaning of a finish reason, as it is in the document. SGLang writes some as objects with a `type`.
pub(super) fn finish_of(json: Option<&str>) -> Finish {
    /// Words in the finish reasons of answers that were broken off (vLLM `abort` and `error`, OpenRouter `error`, DeepSeek
    /// `insufficient_system_resource`, and their like).
    const BROKEN_OFF: [&str; 20] = [
        "abort",
        "error",
        "cancel",
        "fail",
        "timeout",
        "timed",
        "interrupt",
        "unavailable",
        "disconnect",
        "kill",
        "exception",
        "crash",
        "overload",
        "insufficient",
        "incomplete",
        "reject",
        "preempt",
        "shutdown",
        "terminat",
        "evict",
    ];
    const KNOWN: [&str; 4] = ["stop", "length", "tool_calls", "function_call"];
    let Some(json) = json.filter(|json| !is_nothing(json)) else {
        return Finish::None;
    };
    let reason = if json.starts_with('{') {
        let object: serde_json::Value = serde_json::from_str(json).unwrap_or_default();
        object["type"].as_str().unwrap_or_default().to_lowercase()
    } else {
        chunk::inside(json).to_lowercase()
    };
    if KNOWN.contains(&reason.as_str()) {
        Finish::Reason(None)
    } else if reason == "content_filter" {
        Finish::Reason(Some(Remark::ContentFilter))
    } else if BROKEN_OFF.iter().any(|word| reason.contains(word)) {
        Finish::Aborted
    } else {
        Finish::Reason(Some(Remark::FinishUnknown))
    }
}
