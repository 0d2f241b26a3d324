//! Requests of the OpenAI API, as clients of a gateway send them.

use std::time::Duration;

use bytes::Bytes;
use rand::{Rng, RngExt};
use reqwest::Method;
use serde_json::{Value, json};

use poolproof_model::api::Api;

/// A request body.
#[derive(Clone, Debug)]
pub enum Body {
    /// None.
    Empty,
    /// Sent with a content-length.
    Sized(Bytes),
    /// Sent in chunks, without content-length.
    Chunked(Bytes),
}

/// When a client leaves before the end of the response. It closes the connection, or resets the stream of an HTTP/2 connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// This long after the request was sent.
    After(Duration),
    /// When the status and the headers have arrived.
    AtHead,
    /// When this number of frames of an event stream have arrived.
    AtFrame(usize),
}

/// One request.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The path, with the query if there is one.
    pub path: String,
    /// The body.
    pub body: Body,
    /// Headers in addition to those of every request. A `content-type` replaces the default, `application/json` with a body.
    pub headers: Vec<(String, String)>,
    /// The longest wait for the end of the response.
    pub timeout: Duration,
    /// When the client leaves. `None`: it waits for the end.
    pub leave: Option<Leave>,
    /// The tokens that it asks for, if they are known.
    pub tokens: Option<u32>,
    /// Whether the body was made from JSON: it may then be sent with the parameters of the target.
    pub is_json: bool,
}

impl Request {
    /// A request for exactly `max_tokens` tokens, with a unique prompt.
    pub fn new(api: Api, model: &str, max_tokens: u32, rng: &mut impl Rng) -> Self {
        Self::from_json(api, &payload(api, model.into(), &nonce(rng), max_tokens))
    }

    /// A request with this body.
    pub fn from_json(api: Api, body: &Value) -> Self {
        let tokens = body["max_tokens"].as_u64();
        Self {
            tokens: tokens.and_then(|tokens| tokens.try_into().ok()),
            is_json: true,
            ..Self::from_bytes(api, body.to_string())
        }
    }

    /// A request with these bytes as its body, valid or not.
    pub fn from_bytes(api: Api, body: impl Into<Bytes>) -> Self {
        Self {
            body: Body::Sized(body.into()),
            ..Self::to(Method::POST, api.path())
        }
    }

    /// A request without a body to any path.
    pub fn to(method: Method, path: &str) -> Self {
        Self {
            method,
            path: path.to_owned(),
            body: Body::Empty,
            headers: Vec::new(),
            timeout: Duration::from_secs(60),
            leave: None,
            tokens: None,
            is_json: false,
        }
    }

    /// Replaces the path.
    pub fn at(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sends the body in chunks.
    pub fn chunked(mut self) -> Self {
        if let Body::Sized(bytes) = self.body {
            self.body = Body::Chunked(bytes);
        }
        self
    }

    /// Sets the timeout.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Leaves before the end of the response.
    pub fn leaving(mut self, leave: Leave) -> Self {
        self.leave = Some(leave);
        self
    }
}

/// The JSON of a request. `prompt` comes first, so that prefix caches see the difference between prompts.
pub fn payload(api: Api, model: Value, prompt: &str, max_tokens: u32) -> Value {
    match api {
        Api::Completions => json!({
            "model": model, "prompt": prompt, "max_tokens": max_tokens, "ignore_eos": true,
        }),
        Api::Chat => json!({
            "model": model, "messages": [{"role": "user", "content": prompt}],
            "max_tokens": max_tokens, "ignore_eos": true,
        }),
        Api::Responses => json!({
            "model": model, "input": prompt, "max_output_tokens": max_tokens,
        }),
        Api::Messages => json!({
            "model": model, "messages": [{"role": "user", "content": prompt}], "max_tokens": max_tokens,
        }),
    }
}

/// A prefix of 64 characters that is unique to a request. An endpoint picker hashes prompts in blocks of 64 bytes (GIE
/// v1.5.0, approximateprefix), so requests with different nonces share no prefix. Nonces also differ between runs with
/// the same seed, because a stack may outlive a run and remember its prefixes.
pub fn nonce(rng: &mut impl Rng) -> String {
    format!(
        "{:032x}{:032x}",
        rng.random::<u128>() ^ *super::RUN,
        rng.random::<u128>()
    )
}
