//! The client: it sends requests as an application would, and keeps everything that came back.
//!
//! A [`Request`] becomes an [`Exchange`]: status, headers, timed frames, how it ended, and the endpoint that served it. Whatever the other
//! side does is data, not an error: a reset or a timeout is an [`Ending`]. Two clients share no connection, so one class of requests
//! cannot slow down another.
//!
//! The crate also reads the evidence at the far end (the counters of endpoints and endpoint pickers), and makes and undoes changes of a
//! stack. It parses what servers send with its own code. All of that is untrusted: sizes are bounded, and no input causes a panic.
//!
//! This crate must not know clap, Kubernetes or the stand-ins.
//!
//! Start with [`Client`] and [`Exchange`], then [`evidence`] and [`change`]. [`answer`] reads
//! and judges answers, [`sse`] is the parser of event streams below it.
//!
//! ```
//! use poolproof_client::sse::Parser;
//! use std::time::Instant;
//!
//! // An event counts as arrived when its last byte has arrived, however the stream was split.
//! let mut parser = Parser::default();
//! assert!(parser.feed(b"data: {\"choices\"", Instant::now()).is_empty());
//! let frames = parser.feed(b":[]}\n\n", Instant::now());
//! assert_eq!(frames[0].data, "{\"choices\":[]}");
//! ```
//!
//! A request to a gateway:
//!
//! ```no_run
//! use poolproof_client::{Api, Client, Connections, Request, nonce, payload};
//!
//! # async fn example() -> anyhow::Result<()> {
//! let gateway = "http://127.0.0.1:8081".parse()?;
//! let client = Client::new("example", &gateway, Connections::KeepAlive, Default::default())?;
//! let prompt = nonce(&mut rand::rng());
//! let body = payload(Api::Chat, "model-a".into(), &prompt, 16);
//! let exchange = client.send(Request::from_json(Api::Chat, &body)).await;
//! println!("{:?} from {:?}", exchange.status, exchange.served_by);
//! # Ok(())
//! # }
//! ```

pub mod answer;
mod body;
pub mod change;
pub mod discover;
pub mod drive;
pub mod evidence;
mod exchange;
pub mod image;
mod inflate;
mod io;
pub mod kept;
mod lane;
pub mod lock;
pub mod machine;
pub mod poll;
pub mod prompt;
pub mod raw;
pub mod ready;
mod request;
pub mod route;
mod site;
pub mod sse;
pub mod status;
pub mod tls;
pub mod whole;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures_util::StreamExt;
use poolproof_model::target::Target;
use reqwest::header::{ACCEPT_ENCODING, HeaderMap, HeaderName, HeaderValue};
use url::Url;

use crate::evidence::served::Names;
use crate::kept::Kept;
use crate::site::Site;

pub use exchange::{Ending, Exchange};
pub use inflate::Inflate;
pub use lane::Lane;
pub use poolproof_model::api::Api;
pub use request::{Body, Leave, Request, nonce, payload};
pub use reqwest::{Method, Version};

/// The header that identifies a request of poolproof in a model server's log.
pub const REQUEST_ID_HEADER: &str = "x-poolproof-request";

/// Differs between runs even with the same seed. A stack that outlives a run must not confuse its requests with those
/// of the next run.
static RUN: LazyLock<u128> = LazyLock::new(rand::random);

/// The longest response that is kept, in bytes. A longer one is cut and ends as [`Ending::TooLarge`].
const ANSWER_LIMIT_BYTES: usize = 8 << 20;
/// The most frames of a stream that are kept: more than any request here asks for.
const FRAMES_MAX: usize = 1 << 17;
/// What is left of an answer that ended as [`Ending::TooLarge`], in bytes: enough to show how it began.
const TOO_LARGE_LEFT_BYTES: usize = 64 << 10;

/// How a client uses connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connections {
    /// Kept alive; as many connections as requests overlap.
    KeepAlive,
    /// A new connection for each request.
    NewPerRequest,
    /// HTTP/2: requests share a connection. Prior knowledge without TLS (RFC 9113, section 3.3), ALPN with it.
    Http2,
}

/// A client of one address. Clones share its connections; two separate clients share nothing.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    site: Arc<Site>,
    next_id: Arc<AtomicU64>,
    name: Arc<str>,
    tally: Arc<Tally>,
    names: Arc<Names>,
}

/// Counters of sent requests.
#[derive(Debug, Default)]
pub struct Tally {
    /// Sent requests.
    pub sent: AtomicU64,
    /// How many of them had a timeout of at least [`Tally::patience`] and got no response within it.
    pub unanswered: AtomicU64,
    /// The time within which every request that is not made to wait gets a response.
    pub patience: Duration,
    /// The bytes that are kept of all answers.
    pub kept: Arc<AtomicUsize>,
}

impl Client {
    /// A client of `base` that needs no key. Its requests carry `purpose` and a unique number, and are counted in `tally`.
    pub fn new(
        purpose: &str,
        base: &Url,
        connections: Connections,
        tally: Arc<Tally>,
    ) -> Result<Self> {
        let target = Target::at(purpose.to_owned(), base.clone());
        Self::of(&target, base, purpose, connections, tally)
    }

    /// A client of a url of a target, its gateway or an endpoint, with all that requests to the target need.
    pub fn of(
        target: &Target,
        base: &Url,
        purpose: &str,
        connections: Connections,
        tally: Arc<Tally>,
    ) -> Result<Self> {
        static CLIENTS: AtomicU64 = AtomicU64::new(0);
        let number = CLIENTS.fetch_add(1, Ordering::Relaxed);
        let site = Site::of(target, base, connections)?;
        let builder = match connections {
            Connections::KeepAlive => builder(usize::MAX).http1_only(),
            Connections::NewPerRequest => builder(0).http1_only(),
            Connections::Http2 => builder(usize::MAX).http2_prior_knowledge(),
        };
        Ok(Self {
            http: build(site.configured(builder)?)?,
            site: Arc::new(site),
            next_id: Arc::default(),
            name: format!("{:08x}-{purpose}-{number}", *RUN as u32).into(),
            tally,
            names: Arc::default(),
        })
    }

    /// Sets how responses identify their endpoints.
    pub fn knowing(self, names: impl Into<Arc<Names>>) -> Self {
        Self {
            names: names.into(),
            ..self
        }
    }

    /// The start of the ids of its requests, which is unique to this client.
    pub fn id_prefix(&self) -> &str {
        &self.name
    }

    /// Sends a request now and collects the response. Any behaviour of the other side is data, not an error.
    pub async fn send(&self, request: Request) -> Exchange {
        self.send_at(Instant::now(), request).await
    }

    /// Sends a request whose intended send time was `intended`.
    pub async fn send_at(&self, intended: Instant, request: Request) -> Exchange {
        let id = format!(
            "{}-{}",
            self.name,
            self.next_id.fetch_add(1, Ordering::Relaxed)
        );
        self.tally.sent.fetch_add(1, Ordering::Relaxed);
        let (timeout, leave) = (request.timeout, request.leave);
        let mut exchange = Exchange::new(id, intended);
        exchange.kept = Kept::with(self.tally.kept.clone());
        exchange.tokens = request.tokens;
        let (limit, ending) = match leave {
            Some(Leave::After(after)) if after < timeout => (after, Ending::Left),
            _ => (timeout, Ending::TimedOut),
        };
        let collected = self.collect(request, &mut exchange);
        if tokio::time::timeout(limit, collected).await.is_err() {
            exchange.ending = ending;
            if exchange.ending == Ending::TimedOut && timeout >= self.tally.patience {
                self.tally.unanswered.fetch_add(1, Ordering::Relaxed);
            }
        }
        exchange.ended_at = Instant::now();
        exchange
    }

    async fn collect(&self, request: Request, exchange: &mut Exchange) {
        let Request { method, leave, .. } = request;
        let mut builder = match self.site.wire_url(&request.path) {
            Ok(url) => self.http.request(method, url),
            Err(error) => {
                exchange.ending = Ending::NotSent(error.to_string());
                return;
            }
        };
        let has = |name: &str| {
            let mut own = request.headers.iter();
            own.any(|(own, _)| own.eq_ignore_ascii_case(name))
        };
        let asks_for_coding = has("accept-encoding");
        let of_site = |name: &HeaderName| self.site.headers.contains_key(name);
        for (name, value) in &self.site.headers {
            if !has(name.as_str()) {
                builder = builder.header(name, value);
            }
        }
        if !asks_for_coding && !of_site(&ACCEPT_ENCODING) {
            builder = builder.header(ACCEPT_ENCODING, "identity");
        }
        if !matches!(request.body, Body::Empty) {
            if !has("content-type") && !of_site(&reqwest::header::CONTENT_TYPE) {
                builder = builder.header("content-type", "application/json");
            }
            let body = self.site.adapted(request.body, request.is_json);
            builder = builder.body(body.into_wire());
        }
        for (name, value) in &request.headers {
            builder = builder.header(name, value);
        }
        builder = builder.header(REQUEST_ID_HEADER, &exchange.id);
        exchange.sent_at = Instant::now();
        let response = match builder.send().await {
            Ok(response) => response,
            Err(error) => {
                exchange.ending = exchange::ending_of(&error);
                return;
            }
        };
        exchange.head_at = Some(Instant::now());
        exchange.status = Some(response.status().as_u16());
        exchange.version = Some(response.version());
        exchange.headers = response.headers().clone();
        exchange.served_by = self.names.endpoint(&exchange.headers);
        if leave == Some(Leave::AtHead) {
            exchange.ending = Ending::Left;
            return;
        }
        let coding = exchange.headers.get("content-encoding");
        let coding = coding.filter(|_| !asks_for_coding).cloned();
        let mut inflate = coding.and_then(|coding| Inflate::of(coding.as_bytes()).ok().flatten());
        let mut arriving = Arriving::new(exchange, leave);
        let mut chunks = response.bytes_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = match chunk {
                Ok(chunk) => chunk,
                Err(error) => {
                    exchange.ending = exchange::ending_of(&error);
                    return;
                }
            };
            let now = Instant::now();
            exchange.first_byte_at.get_or_insert(now);
            let taken = match &mut inflate {
                None => arriving.take(exchange, &chunk, now),
                Some(inflate) => {
                    let fed = inflate.feed(&chunk, |piece| arriving.take(exchange, piece, now));
                    fed.unwrap_or_else(|error| {
                        let what = "its content-encoding is that of no compressed body";
                        Err(Ending::Cut(format!("{what}: {error}")))
                    })
                }
            };
            if let Err(ending) = taken {
                exchange.ending = ending;
                return;
            }
        }
        arriving.end(exchange);
        exchange.ending = match inflate.map(Inflate::end) {
            Some(Err(error)) => Ending::Cut(format!("its compressed body is not whole: {error}")),
            Some(Ok(())) | None => Ending::Complete,
        };
    }
}

/// The body of an answer that is arriving.
struct Arriving {
    leave: Option<Leave>,
    frames: Option<sse::Parser>,
    /// What the head and the texts of the frames take, in bytes.
    others: usize,
}

impl Arriving {
    /// The body of an exchange that has its head.
    fn new(exchange: &Exchange, leave: Option<Leave>) -> Self {
        Self {
            leave,
            frames: exchange.is_event_stream().then(sse::Parser::default),
            others: exchange.head_bytes(),
        }
    }

    /// The body has come to its end.
    fn end(&self, exchange: &mut Exchange) {
        exchange.body.shrink_to_fit();
        exchange.frames.shrink_to_fit();
        exchange.keeps(self.others);
    }

    /// Adds a part of the body. Fails with how the exchange ends, if it ends here.
    fn take(&mut self, exchange: &mut Exchange, part: &[u8], at: Instant) -> Result<(), Ending> {
        let mut fits = exchange.body.len() + part.len() <= ANSWER_LIMIT_BYTES;
        if fits {
            exchange.add(part);
            if let Some(parser) = &mut self.frames {
                let frames = parser.feed(part, at);
                let texts = frames.iter().map(|it| it.name.len() + it.data.len());
                self.others += texts.sum::<usize>();
                fits = exchange.frames.len() + frames.len() <= FRAMES_MAX;
                exchange.frames.extend(frames);
            }
            fits &= exchange.keeps(self.others);
        }
        if !fits {
            exchange.shorten(TOO_LARGE_LEFT_BYTES);
            return Err(Ending::TooLarge);
        }
        let arrived = exchange.frames.len();
        match self.leave {
            Some(Leave::AtFrame(frames)) if self.frames.is_some() && arrived >= frames => {
                Err(Ending::Left)
            }
            _ => Ok(()),
        }
    }
}

/// A plain HTTP client for control and metrics of parts that need no key.
pub fn http(idle_per_host: usize) -> Result<reqwest::Client> {
    let nowhere = Url::parse("http://127.0.0.1/")?;
    http_of(&Target::at(String::new(), nowhere), idle_per_host)
}

/// A plain HTTP client for control and metrics of the parts of a target, with its headers, keys, certificates and proxies.
pub fn http_of(target: &Target, idle_per_host: usize) -> Result<reqwest::Client> {
    let builder = builder(idle_per_host).http1_only();
    let mut headers = HeaderMap::new();
    for (name, value) in target.access.headers(&target.url, false) {
        let mut value = HeaderValue::from_str(value.reveal())?;
        value.set_sensitive(true);
        headers.insert(name.parse::<HeaderName>()?, value);
    }
    build(site::with_access(builder, target)?.default_headers(headers))
}

fn builder(idle_per_host: usize) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .pool_max_idle_per_host(idle_per_host)
        .pool_idle_timeout(Duration::from_secs(30))
        .tcp_nodelay(true)
        .connect_timeout(Duration::from_secs(5))
}

fn build(builder: reqwest::ClientBuilder) -> Result<reqwest::Client> {
    builder.build().context("setting up the http client")
}
