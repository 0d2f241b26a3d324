//! Requests with several texts: for embeddings, and for the rerank of documents.

use rand_chacha::ChaCha8Rng;

use super::{Asked, Built, Due, Requests};
use poolproof_model::api::Api;

impl Requests {
    /// Writes a request of a class with texts, as [`Requests::build`] does.
    pub(super) fn build_texts(
        &self,
        due: Due,
        class: usize,
        mut rng: ChaCha8Rng,
        wire: &mut Vec<u8>,
    ) -> Built {
        let template = &self.classes[class];
        let kind = &template.class;
        let count = kind.inputs().draw(&mut rng);
        let model = template.draw_model(&mut rng);
        let has_query = kind.api == Api::Rerank;
        let mut input_tokens = 0;
        template.write(self.http1_id(due.number), model, wire, |wire| {
            let texts = u64::from(count) + u64::from(has_query);
            for number in 0..texts {
                let is_query = has_query && number == 0;
                let first = u64::from(has_query);
                wire.extend_from_slice(match number {
                    _ if is_query => b"",
                    number if number == first => b"\"",
                    _ => b",\"",
                });
                let row = self.trace.as_ref();
                let row = row.and_then(|it| it.rows.get(due.number as usize));
                let prompt = self.place(due.number.wrapping_mul(texts).wrapping_add(number));
                let prompt = prompt.and_then(|place| self.trace.as_ref()?.prompts.get(place));
                if let Some(prompt) = prompt {
                    input_tokens += prompt.input_tokens();
                    wire.extend_from_slice(prompt.text.as_bytes());
                } else {
                    let tokens = match (is_query, row) {
                        (true, _) => kind.query_tokens().draw(&mut rng),
                        (false, Some(row)) => row.input_tokens,
                        (false, None) => kind.input_tokens.draw(&mut rng),
                    };
                    input_tokens += tokens;
                    let begins_at = wire.len();
                    self.texts.append_unique(wire, &mut rng, tokens);
                    self.texts.end(wire, begins_at);
                }
                wire.extend_from_slice(if is_query {
                    b"\",\"documents\":["
                } else {
                    b"\""
                });
            }
            0
        });
        Built {
            class,
            model,
            asked: Asked {
                inputs: count,
                ..template.asked()
            },
            input_tokens,
            output_tokens: 0,
        }
    }
}
