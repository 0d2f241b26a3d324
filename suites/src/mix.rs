//! The mix of requests of which samples consist: both APIs, streamed and not, in equal parts and in random order.
//!
//! A fault that shows only for one kind of request is diluted in a mixed sample. Cases that decide by shares judge each
//! kind as well, by a part of their alpha: [`Shares`]. Cases that judge each answer need no more than the mix.

use std::collections::HashMap;

use poolproof_client::{Api, Exchange, Request, nonce, payload};
use rand::Rng;
use rand::seq::SliceRandom;
use serde_json::json;

/// What a gateway can tell requests apart by before it reads their text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    /// The API.
    pub(crate) api: Api,
    /// Whether the answer is streamed.
    pub(crate) streamed: bool,
}

impl Kind {
    /// All kinds.
    pub(crate) const ALL: [Self; 4] = [
        Self::of(Api::Completions, false),
        Self::of(Api::Completions, true),
        Self::of(Api::Chat, false),
        Self::of(Api::Chat, true),
    ];

    const fn of(api: Api, streamed: bool) -> Self {
        Self { api, streamed }
    }

    /// For a report.
    pub(crate) fn in_words(self) -> &'static str {
        match (self.api, self.streamed) {
            (Api::Completions, false) => "completions",
            (Api::Completions, true) => "streamed completions",
            (_, false) => "chat",
            (_, true) => "streamed chat",
        }
    }

    /// A request for exactly `max_tokens` tokens, with a unique prompt.
    pub(crate) fn request(self, model: &str, max_tokens: u32, rng: &mut impl Rng) -> Request {
        let mut body = payload(self.api, model.into(), &nonce(rng), max_tokens);
        if self.streamed {
            body["stream"] = true.into();
        }
        Request::from_json(self.api, &body)
    }

    /// The same; a stream ends with its usage.
    pub(crate) fn with_usage(self, model: &str, tokens: u32, rng: &mut impl Rng) -> Request {
        let mut body = payload(self.api, model.into(), &nonce(rng), tokens);
        if self.streamed {
            body["stream"] = true.into();
            body["stream_options"] = json!({"include_usage": true});
        }
        Request::from_json(self.api, &body)
    }
}

/// Draws kinds in blocks, each of which has every kind once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mix(Vec<Kind>);

impl Mix {
    /// The kind of the next request.
    pub(crate) fn kind(&mut self, rng: &mut impl Rng) -> Kind {
        if self.0.is_empty() {
            self.0.extend(Kind::ALL);
            self.0.shuffle(rng);
        }
        // Filled just before.
        self.0.pop().unwrap_or(Kind::ALL[0])
    }

    /// The next request, for exactly `max_tokens` tokens.
    pub(crate) fn request(&mut self, model: &str, max_tokens: u32, rng: &mut impl Rng) -> Request {
        self.kind(rng).request(model, max_tokens, rng)
    }
}

/// The kinds of exchanges, by their ids.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kinds(HashMap<String, Kind>);

impl Kinds {
    /// Keeps the kind of an exchange.
    pub(crate) fn keep(&mut self, exchange: &Exchange, kind: Kind) {
        self.0.insert(exchange.id.clone(), kind);
    }

    /// Whether an exchange is of a kind; every one is of `None`.
    pub(crate) fn is(&self, exchange: &Exchange, kind: Option<Kind>) -> bool {
        self.has(&exchange.id, kind)
    }

    /// The same, of the exchange with this id.
    pub(crate) fn has(&self, id: &str, kind: Option<Kind>) -> bool {
        kind.is_none() || self.0.get(id).copied() == kind
    }
}

/// The parts of a case's alpha for the whole sample, and for each kind. The whole sample is the finer instrument, so
/// it gets most: a kind is judged only for being wrong altogether.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shares {
    /// For the whole sample.
    pub(crate) whole: f64,
    /// For each kind.
    pub(crate) kind: f64,
}

impl Shares {
    /// Divides alpha.
    pub(crate) fn of(alpha: f64) -> Self {
        const OF_KINDS: f64 = 0.2;
        Self {
            whole: alpha * (1.0 - OF_KINDS),
            kind: alpha * OF_KINDS / Kind::ALL.len() as f64,
        }
    }
}

/// The share of each kind among the requests of a sample.
pub(crate) const KIND_SHARE: f64 = 1.0 / Kind::ALL.len() as f64;

/// The size of a sample with `n` requests of a kind, or of all kinds.
pub(crate) fn requests_for(kind: Option<Kind>, n: u64) -> u64 {
    match kind {
        Some(_) => n * Kind::ALL.len() as u64,
        None => n,
    }
}

#[cfg(test)]
mod tests {
    use poolproof_client::Body;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use serde_json::Value;

    use super::*;

    #[test]
    fn every_block_of_four_has_every_kind_once_and_blocks_differ() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut mix = Mix::default();
        let drawn: Vec<Kind> = (0..400).map(|_| mix.kind(&mut rng)).collect();
        for block in drawn.chunks(4) {
            assert!(Kind::ALL.iter().all(|kind| block.contains(kind)));
        }
        assert!(drawn.chunks(4).any(|block| block != &drawn[..4]));
    }

    #[test]
    fn a_request_is_of_its_kind() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for kind in Kind::ALL {
            let request = kind.request("m", 3, &mut rng);
            let Body::Sized(bytes) = &request.body else {
                unreachable!("sent with a length")
            };
            let body: Value = serde_json::from_slice(bytes).unwrap_or_default();
            assert_eq!(request.path, kind.api.path());
            assert_eq!(body["stream"].as_bool().unwrap_or(false), kind.streamed);
            assert_eq!(body["messages"].is_array(), kind.api == Api::Chat);
        }
    }

    #[test]
    fn the_parts_of_alpha_add_up() {
        let shares = Shares::of(1e-3);
        let sum = shares.whole + shares.kind * Kind::ALL.len() as f64;
        assert!((sum / 1e-3 - 1.0).abs() < 1e-12);
    }
}
