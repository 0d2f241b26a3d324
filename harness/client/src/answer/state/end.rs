//! The judgement of a stream at its end.

use super::super::chunk;
use super::super::fault::{Fault, Kind, shown};
use super::super::meaning::ends_of;
use super::super::{Answered, Remark};
use super::{DONE, State};
use crate::sse::Rest;
use poolproof_model::api::Api;

impl State {
    /// Judges the stream; `rest` is what came after its last whole event.
    pub(in super::super) fn end(&mut self, rest: &Rest) -> Result<Answered, Fault> {
        self.take_rest(rest);
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        let chunks = self.tokens.chunks;
        let spoke = self
            .choices
            .iter()
            .filter(|it| it.has_text || it.is_finished);
        let is_finished = self.finished_at.is_some() && spoke.clone().all(|it| it.is_finished);
        if chunks == 0 && !is_finished {
            let beside = self.beside(rest);
            let reason = ends_of(self.asked.api).0.replace('_', " ");
            let detail = format!("a stream without text or {reason}{beside}");
            return Err(Fault::new(Kind::NoAnswer, detail));
        }
        let mut stray = rest.stray.split(|byte| *byte == b'\n');
        let is_bare_done = stray.any(|line| line.trim_ascii().starts_with(DONE));
        let has_choices = self.asked.api.has_choices();
        if !self.done && is_bare_done && has_choices {
            let detail = format!("`[DONE]` came without `data:`, after {}", self.came());
            return Err(Fault::new(Kind::NoDone, detail));
        }
        let (reason, end) = ends_of(self.asked.api);
        match (self.done, is_finished) {
            (true, true) => {}
            (false, true) => self.remarks.add(Remark::NoDone),
            // A server that ends one choice with a reason ends all of them so. Responses end with their last event alone.
            (true, false)
                if self.finished_at.is_none()
                    && self.all_came()
                    && self.asked.api != Api::Responses =>
            {
                self.remarks.add(Remark::NoFinish);
            }
            (true, false) => {
                let (came, beside) = (self.came(), self.beside(rest));
                let end = if has_choices || end.contains("stop") {
                    end
                } else {
                    "`[DONE]`"
                };
                let detail = format!("{end} without a {reason}, after {came}{beside}");
                return Err(Fault::new(Kind::NoFinish, detail));
            }
            (false, false) => {
                let (came, beside) = (self.came(), self.beside(rest));
                let detail = format!("ended without a {reason} and {end}, after {came}{beside}");
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
            text: std::mem::take(&mut self.text),
            finish: self.finish.take(),
            remarks: self.remarks,
        };
        answered.judged_strictly(self.asked)
    }

    /// Takes what came after the last whole event.
    fn take_rest(&mut self, rest: &Rest) {
        if let Some(data) = &rest.data {
            if data.trim_ascii().starts_with(DONE) && !self.done {
                if self.asked.api.has_choices() {
                    self.done = true;
                    self.remarks.add(Remark::DoneUnterminated);
                } else {
                    self.remarks.add(Remark::DoneForeign);
                }
            } else if let Some(error) = chunk::read(data).and_then(|said| said.error) {
                self.fail(Fault::with_bytes(Kind::ErrorEvent, error.as_bytes()));
            } else {
                self.odd = data[..data.len().min(200)].to_vec();
            }
        }
        if rest.stray.is_empty() {
            return;
        }
        if let Some(error) = unframed_error(&rest.stray) {
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

    /// What came, in words.
    fn came(&self) -> String {
        let chunks = self.tokens.chunks;
        match self.usage {
            Some((_, output)) => {
                format!("{chunks} frames with text, {output} tokens by its usage")
            }
            None => format!("{chunks} frames with text"),
        }
    }

    /// What came beside the answer, in words: it may say why there is no more of it.
    fn beside(&self, rest: &Rest) -> String {
        let odd = if self.odd.is_empty() {
            &rest.stray
        } else {
            &self.odd
        };
        if odd.is_empty() {
            String::new()
        } else {
            format!("; beside them {}", shown(odd))
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

/// An error that a server wrote as if the body were no event stream, among lines that are no fields of one.
fn unframed_error(stray: &[u8]) -> Option<&str> {
    let start = stray.iter().position(|byte| *byte == b'{')?;
    let lines = stray.split(|byte| *byte == b'\n');
    let mut documents = std::iter::once(&stray[start..]).chain(lines);
    documents.find_map(|document| chunk::read(document)?.error)
}
