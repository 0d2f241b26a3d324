//! The ways in which clients ask: both APIs, streamed or not, over HTTP/1.1 and HTTP/2.

use anyhow::Result;
use futures_util::{StreamExt, stream};
use poolproof_cases::context::Context;
use poolproof_client::{Api, Client, Connections, Exchange, Request, Version, nonce, payload};
use poolproof_model::target::Model;
use rand::Rng;

use crate::mix::Kind;

/// The kinds that ask for a stream.
pub(crate) const STREAMS: [Kind; 2] = [Kind::ALL[1], Kind::ALL[3]];
/// Those that do not.
pub(crate) const WHOLE: [Kind; 2] = [Kind::ALL[0], Kind::ALL[2]];

/// The header that directs the answer of poolproof's model server to this request.
const ANSWER_HEADER: &str = "x-poolproof-answer";

impl Kind {
    /// A request for exactly `tokens` tokens, with the timeout of a request. A stream ends with its usage.
    pub(crate) fn full_request(
        self,
        ctx: &Context,
        model: &Model,
        tokens: u32,
        rng: &mut impl Rng,
    ) -> Request {
        let request = self.with_usage(&model.name, tokens, rng);
        request.timeout(ctx.timeouts.request)
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
        body["stream"] = self.streamed.into();
        Request::from_json(self.api, &body).timeout(ctx.timeouts.request)
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

    /// Each client.
    pub(crate) fn all(&self) -> &[Client] {
        &self.0
    }

    /// For summaries.
    pub(crate) fn in_words(&self) -> &'static str {
        match self.0.as_slice() {
            [_] => "over HTTP/1.1 (a request over HTTP/2 did not succeed)",
            _ => "over HTTP/1.1 and HTTP/2",
        }
    }
}
