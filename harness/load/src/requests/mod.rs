//! Builds requests. A request follows from the seed and its number alone; in a session, also from earlier answers.

mod chats;
mod conversation;
mod head;
mod template;
#[cfg(test)]
mod tests;

use anyhow::{Context, Result, ensure};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use url::Url;

pub use conversation::Conversation;

use super::answer::Asked;
use super::schedule::Due;
use super::tokenizer::Vocabulary;
use head::Id;
use poolproof_client::prompt::Texts;
use poolproof_model::api::Api;
use poolproof_model::target::Target;
use poolproof_model::workload::trace::{BLOCK_TOKENS, Trace};
use poolproof_model::workload::{Arrival, Count, Http, Seconds, SharedPrefix, Workload};
use template::Template;

/// A header, name and value.
pub type Header = (String, String);

/// The requests of a run.
#[derive(Debug)]
pub struct Requests {
    classes: Vec<Template>,
    /// For each class, the sum of its share and those before it; the last one is 1.
    shares: Vec<f64>,
    texts: Texts,
    rng: ChaCha8Rng,
    trace: Option<Trace>,
    /// The places of the prompts of a dataset, in the order in which they are sent.
    order: Vec<usize>,
    /// Of sessions: how many turns they have, and how long their users think.
    sessions: Option<(Count, Seconds)>,
    http: Http,
    run: u32,
}

/// A request that was built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Built {
    /// The place of its class in the workload.
    pub class: usize,
    /// The place of its adapter in the class; 0 where that names none.
    pub model: usize,
    /// What the request asks for.
    pub asked: Asked,
    /// Tokens of its prompt.
    pub input_tokens: u32,
    /// Tokens that are asked for.
    pub output_tokens: u32,
}

impl Requests {
    /// The requests of a workload to urls of a target, which are used in turn. Prompts are made for the tokenizer of `vocabulary`, if there is one.
    pub fn new(
        workload: &Workload,
        trace: Option<Trace>,
        target: &Target,
        urls: &[Url],
        vocabulary: Option<&Vocabulary>,
        seed: u64,
    ) -> Result<Self> {
        let sessions = match workload.arrival {
            Arrival::Sessions {
                turns,
                think_time_s,
                ..
            } => Some((turns, think_time_s)),
            _ => None,
        };
        let mut order: Vec<usize> = (0..trace.as_ref().map_or(0, |it| it.prompts.len())).collect();
        order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        let whole_messages = sessions.is_some() || !order.is_empty();
        ensure!(!urls.is_empty(), "no url to send to");
        let parameters = workload.parameters.over(&target.parameters);
        let to = (target, urls);
        let prompts = trace.as_ref().map_or(&[][..], |it| &it.prompts);
        let classes: Vec<Template> = workload
            .mix
            .iter()
            .map(|class| {
                let mut template = Template::new(class, whole_messages, &parameters, to)
                    .with_context(|| format!("mix: class {:?}", class.class))?;
                template.prompts = chats::converted(class.api, prompts)?;
                Ok(template)
            })
            .collect::<Result<_>>()?;
        let sum: f64 = workload.mix.iter().map(|class| class.share).sum();
        let mut shares = Vec::new();
        let mut until = 0.0;
        for class in &workload.mix {
            until += class.share / sum;
            shares.push(until);
        }
        Ok(Self {
            classes,
            shares,
            texts: Texts::new(seed, vocabulary.map(|vocabulary| &vocabulary.words)),
            rng: ChaCha8Rng::seed_from_u64(seed),
            trace,
            order,
            sessions,
            http: workload.http,
            run: rand::random(),
        })
    }

    /// The same requests, with this mark of the run. Processes that share a run use the same mark.
    pub fn marked(self, run: u32) -> Self {
        Self { run, ..self }
    }

    /// The trace with the times of requests, if there is one.
    pub fn trace(&self) -> Option<&Trace> {
        self.trace.as_ref()
    }

    /// Writes the request of this number over what `wire` held: all of it for HTTP/1.1, its body for HTTP/2.
    pub fn build(&self, due: Due, wire: &mut Vec<u8>) -> Built {
        let mut rng = self.rng.clone();
        // Every request has a stream of random numbers of its own, and the schedule one that no request has.
        rng.set_stream(due.number + 1);
        let class = self.draw_class(&mut rng);
        let template = &self.classes[class];
        let kind = &template.class;
        let place = self.place(due.number);
        let prompt = place.and_then(|place| self.trace.as_ref()?.prompts.get(place));
        let row = self
            .trace
            .as_ref()
            .and_then(|it| it.rows.get(due.number as usize));
        let (input, output_tokens) = match (row, prompt) {
            (Some(row), _) => (row.input_tokens, row.output_tokens),
            (None, Some(prompt)) => {
                let drawn = kind.output_tokens.draw(&mut rng);
                (prompt.input_tokens(), prompt.output_tokens.unwrap_or(drawn))
            }
            (None, None) => (
                kind.input_tokens.draw(&mut rng),
                kind.output_tokens.draw(&mut rng),
            ),
        };
        let mut input_tokens = input;
        let model = template.draw_model(&mut rng);
        template.write(self.http1_id(due.number), model, wire, |wire| {
            if let Some((prompt, place)) = prompt.zip(place) {
                let text = match (template.prompts.get(place), kind.api) {
                    (Some(converted), _) => converted,
                    (None, Api::Completions) => &prompt.text,
                    (None, _) => &prompt.messages,
                };
                wire.extend_from_slice(text.as_bytes());
                return output_tokens;
            }
            let begins_at = wire.len();
            match (row.map_or(&[][..], |row| &row.blocks), kind.shared_prefix) {
                ([], None) => self.texts.append_unique(wire, &mut rng, input),
                ([], Some(shared)) => {
                    input_tokens += shared.tokens;
                    self.append_shared(wire, &mut rng, shared);
                    self.texts.append_unique(wire, &mut rng, input);
                }
                (blocks, _) => {
                    let mut left = input;
                    for block in blocks {
                        let tokens = left.min(BLOCK_TOKENS);
                        self.texts.append(wire, spread(*block), tokens);
                        left -= tokens;
                    }
                    self.texts.append_unique(wire, &mut rng, left);
                }
            }
            self.texts.end(wire, begins_at);
            output_tokens
        });
        Built {
            class,
            model,
            asked: template.asked(),
            input_tokens,
            output_tokens,
        }
    }

    /// The place of the prompt of a dataset for the request of this number: each one in turn, in the order of the seed.
    fn place(&self, number: u64) -> Option<usize> {
        let turn = number.checked_rem(self.order.len() as u64)?;
        Some(self.order[turn as usize])
    }

    /// The request of HTTP/2 for a body of this length that was built for this class and number.
    pub(super) fn http2(
        &self,
        class: usize,
        number: u64,
        length: usize,
    ) -> http::Result<http::Request<()>> {
        let id = Id {
            run: self.run,
            number,
        };
        self.classes[class].head(number).http2(id, length)
    }

    /// The id of a request whose head is written before its body, as HTTP/1.1 has it.
    fn http1_id(&self, number: u64) -> Option<Id> {
        let run = self.run;
        (self.http == Http::One).then_some(Id { run, number })
    }

    fn draw_class(&self, rng: &mut ChaCha8Rng) -> usize {
        let chosen: f64 = rng.random();
        let class = self.shares.iter().position(|until| chosen < *until);
        class.unwrap_or(self.shares.len() - 1)
    }

    /// Appends one of the texts that prompts begin with.
    fn append_shared(&self, into: &mut Vec<u8>, rng: &mut ChaCha8Rng, shared: SharedPrefix) {
        let group = rng.random_range(0..shared.groups);
        self.texts.append(into, spread(group.into()), shared.tokens);
    }
}

/// Keys far apart for numbers that lie together (Vigna, "SplitMix64"), so that texts of neighbours do not overlap.
fn spread(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
