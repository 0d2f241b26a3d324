//! A server of both versions of HTTP, with or without TLS, that keeps what it received.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The number of requests before it, for the tests of the client.
    #[allow(dead_code)]
    pub number: usize,
    pub uri: http::Uri,
    pub headers: http::HeaderMap,
    pub body: Value,
}

impl Seen {
    /// The path and the query.
    pub fn path(&self) -> String {
        self.uri.path_and_query().unwrap().to_string()
    }

    /// The host, as either version carries it.
    pub fn host(&self) -> String {
        match self.uri.authority() {
            Some(authority) => authority.to_string(),
            None => self.header("host"),
        }
    }

    /// All values of a header.
    pub fn header(&self, name: &str) -> String {
        let values = self.headers.get_all(name).into_iter();
        let values: Vec<&str> = values.map(|value| value.to_str().unwrap()).collect();
        values.join(" | ")
    }
}

/// How it answers.
pub type Answer = http::Response<Full<Bytes>>;

/// A running server; it ends with the runtime.
pub struct Front {
    pub address: SocketAddr,
    pub seen: Arc<Mutex<Vec<Seen>>>,
    pub accepted: Arc<AtomicUsize>,
}

impl Front {
    /// Starts one that answers as `answer` says.
    pub async fn start(
        tls: Option<rustls::ServerConfig>,
        answer: impl Fn(&Seen) -> Answer + Clone + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let front = Self {
            address: listener.local_addr().unwrap(),
            seen: Arc::default(),
            accepted: Arc::default(),
        };
        let (seen, accepted) = (front.seen.clone(), front.accepted.clone());
        let tls = tls.map(|config| TlsAcceptor::from(Arc::new(config)));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                accepted.fetch_add(1, Ordering::Relaxed);
                let (seen, answer, tls) = (seen.clone(), answer.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, seen, answer).await,
                        // A client that trusts nobody ends the handshake.
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, seen, answer).await
                            }
                        }
                    }
                });
            }
        });
        front
    }

    /// What has arrived.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    seen: Arc<Mutex<Vec<Seen>>>,
    answer: impl Fn(&Seen) -> Answer + Clone + Send + Sync + 'static,
) {
    let service = hyper::service::service_fn(move |request: http::Request<Incoming>| {
        let (seen, answer) = (seen.clone(), answer.clone());
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            let received = {
                let mut seen = seen.lock().unwrap();
                let received = Seen {
                    number: seen.len(),
                    uri: head.uri,
                    headers: head.headers,
                    body: serde_json::from_slice(&body).unwrap_or_default(),
                };
                seen.push(received.clone());
                received
            };
            Ok::<_, hyper::Error>(answer(&received))
        }
    });
    // A client may leave at any time.
    let _ = auto::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// An answer of the API: a stream if `frames` are of one.
pub fn stream_of(frames: &str) -> Answer {
    http::Response::builder()
        .header("content-type", "text/event-stream")
        .body(Full::new(Bytes::from(frames.to_owned())))
        .unwrap()
}
