//! Requests of the OpenAI API, as a client of a gateway sends them.

use std::time::Duration;

use bytes::Bytes;
use rand::{Rng, RngExt};
use serde_json::{Value, json};

use poolproof_model::api::Api;

/// A request body.
#[derive(Clone, Debug)]
pub enum Body {
    /// Sent with its content-length.
    Sized(Bytes),
    /// Sent in chunks, without content-length.
    Chunked(Bytes),
}

/// One request.
#[derive(Clone, Debug)]
pub struct Request {
    /// The API.
    pub api: Api,
    /// The body.
    pub body: Body,
    /// Headers, beside those that every request has.
    pub headers: Vec<(String, String)>,
    /// How long to wait for the end of the answer.
    pub timeout: Duration,
}

impl Request {
    /// A request for `max_tokens` tokens of exactly that length, for a prompt that no other request shares.
    pub fn new(api: Api, model: &str, max_tokens: u32, rng: &mut impl Rng) -> Self {
        Self::from_json(api, &payload(api, model.into(), &nonce(rng), max_tokens))
    }

    /// A request with this body.
    pub fn from_json(api: Api, body: &Value) -> Self {
        Self::from_bytes(api, body.to_string())
    }

    /// A request with these bytes as its body, whatever they are.
    pub fn from_bytes(api: Api, body: impl Into<Bytes>) -> Self {
        Self {
            api,
            body: Body::Sized(body.into()),
            headers: Vec::new(),
            timeout: Duration::from_secs(60),
        }
    }

    /// The same, with a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same, with its body sent in chunks.
    pub fn chunked(mut self) -> Self {
        if let Body::Sized(bytes) = self.body {
            self.body = Body::Chunked(bytes);
        }
        self
    }

    /// The same, with another limit on its time.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The path that it is sent to.
    pub fn path(&self) -> &'static str {
        self.api.path()
    }
}

/// The JSON of a request: `prompt` stands at its start, so that prefix caches see what differs.
pub fn payload(api: Api, model: Value, prompt: &str, max_tokens: u32) -> Value {
    match api {
        Api::Completions => json!({
            "model": model, "prompt": prompt, "max_tokens": max_tokens, "ignore_eos": true,
        }),
        Api::Chat => json!({
            "model": model, "messages": [{"role": "user", "content": prompt}],
            "max_tokens": max_tokens, "ignore_eos": true,
        }),
    }
}

/// 64 characters that no other request starts with: an endpoint picker hashes prompts in blocks of 64 bytes
/// (GIE v1.5.0, approximateprefix), so that requests which differ there share no prefix. A stack outlives runs and remembers
/// prefixes, so that those of the same seed in another run differ too.
pub fn nonce(rng: &mut impl Rng) -> String {
    format!(
        "{:032x}{:032x}",
        rng.random::<u128>() ^ *super::RUN,
        rng.random::<u128>()
    )
}
