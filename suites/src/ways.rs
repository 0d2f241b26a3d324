//! The ways in which clients ask: both APIs, streamed or not, over HTTP/1.1 and HTTP/2.

use anyhow::Result;
use futures_util::{StreamExt, stream};
use poolproof_cases::context::Context;
use poolproof_client::{Api, Client, Connections, Exchange, Request, Version, nonce, payload};
use poolproof_model::target::Model;
use rand::Rng;
use serde_json::json;

/// An API, streamed or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) api: Api,
    pub(crate) stream: bool,
}

/// All of them.
pub(crate) const WAYS: [Way; 4] = [
    Way::new(Api::Completions, false),
    Way::new(Api::Completions, true),
    Way::new(Api::Chat, false),
    Way::new(Api::Chat, true),
];
/// Those that ask for a stream.
pub(crate) const STREAMS: [Way; 2] = [WAYS[1], WAYS[3]];
/// Those that do not.
pub(crate) const WHOLE: [Way; 2] = [WAYS[0], WAYS[2]];

/// The header that directs the answer of poolproof's model server to this request.
const ANSWER_HEADER: &str = "x-poolproof-answer";

impl Way {
    const fn new(api: Api, stream: bool) -> Self {
        Self { api, stream }
    }

    /// A request for exactly `tokens` tokens. A stream ends with its usage.
    pub(crate) fn request(
        self,
        ctx: &Context,
        model: &Model,
        tokens: u32,
        rng: &mut impl Rng,
    ) -> Request {
        let mut body = payload(self.api, model.name.as_str().into(), &nonce(rng), tokens);
        if self.stream {
            body["stream"] = true.into();
            body["stream_options"] = json!({"include_usage": true});
        }
        Request::from_json(self.api, &body).timeout(ctx.timeouts.request)
    }

    /// A request that model servers refuse: its `max_tokens` is negative.
    pub(crate) fn invalid_request(
        self,
        ctx: &Context,
        model: &Model,
        rng: &mut impl Rng,
    ) -> Request {
        let mut body = payload(self.api, model.name.as_str().into(), &nonce(rng), 1);
        body["max_tokens"] = (-1).into();
        body["stream"] = self.stream.into();
        Request::from_json(self.api, &body).timeout(ctx.timeouts.request)
    }

    /// For messages.
    pub(crate) fn in_words(self) -> String {
        let streamed = if self.stream { ", streamed" } else { "" };
        format!("{:?}{streamed}", self.api)
    }
}

/// A request whose answer is directed, if its endpoint is a model server of poolproof.
pub(crate) fn directed(request: Request, directive: &str) -> Request {
    request.header(ANSWER_HEADER, directive)
}

/// Clients of the gateway: one for each HTTP version that it speaks.
pub(crate) struct Clients(Vec<Client>);

/// Requests that finding the versions takes.
pub(crate) const VERSIONS_REQUESTS: usize = 1;

impl Clients {
    /// HTTP/1.1, and HTTP/2 if one request for a model succeeds over it.
    pub(crate) async fn of(ctx: &Context, model: &Model) -> Result<Self> {
        let mut clients = vec![ctx.client(Connections::KeepAlive)?];
        let http2 = ctx.client(Connections::Http2)?;
        let request = Request::new(Api::Completions, &model.name, 1, &mut ctx.rng("versions"));
        let first = http2.send(request.timeout(ctx.timeouts.request)).await;
        if first.is_success() && first.version == Some(Version::HTTP_2) {
            clients.push(http2);
        }
        Ok(Self(clients))
    }

    /// Sends requests with at most `in_flight` open at once. The version changes after every `each` requests. Returns the exchanges
    /// in the order of the requests.
    pub(crate) async fn send(
        &self,
        in_flight: usize,
        each: usize,
        requests: impl IntoIterator<Item = Request>,
    ) -> Vec<Exchange> {
        stream::iter(requests.into_iter().enumerate())
            .map(|(number, request)| self.0[number / each % self.0.len()].send(request))
            .buffered(in_flight)
            .collect()
            .await
    }

    /// For summaries.
    pub(crate) fn in_words(&self) -> &'static str {
        match self.0.as_slice() {
            [_] => "over HTTP/1.1 (a request over HTTP/2 did not succeed)",
            _ => "over HTTP/1.1 and HTTP/2",
        }
    }
}
