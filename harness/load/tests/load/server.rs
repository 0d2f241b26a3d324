//! A server that answers with given bytes, right or wrong.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use poolproof_client::poll;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What a server does with a request.
#[derive(Clone, Debug)]
pub enum Act {
    /// Sends these bytes and waits for the next request.
    Send(String),
    /// Sends these bytes and closes the connection.
    SendAndClose(String),
    /// Sends these bytes again and again, without end.
    Endless(String, String),
    /// Never answers.
    Stall,
}

/// A running server; it ends with the runtime.
pub struct Server {
    pub address: SocketAddr,
    /// Connections that were accepted.
    pub connections: Arc<AtomicUsize>,
    /// Requests that arrived.
    pub requests: Arc<AtomicUsize>,
    /// Their bodies, in the order in which they arrived.
    pub bodies: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Starts one; `act` says what it does with the request of a number.
    pub async fn start(act: impl Fn(usize) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (connections, requests) =
            (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let bodies = Arc::<Mutex<Vec<String>>>::default();
        let act = Arc::new(act);
        let (accepted, arrived) = (connections.clone(), requests.clone());
        let read = bodies.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                accepted.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(serve(stream, act.clone(), arrived.clone(), read.clone()));
            }
        });
        Self {
            address,
            connections,
            requests,
            bodies,
        }
    }

    /// Waits until this many requests have arrived.
    pub async fn has_requests(&self, count: usize) {
        const LIMIT: Duration = Duration::from_secs(60);
        let what = format!("{count} requests arrive");
        let arrived = poll::until(what, LIMIT, poll::INTERVAL, || async {
            (self.requests.load(Ordering::Relaxed) >= count).then_some(())
        });
        arrived.await.unwrap();
    }
}

/// Serves a connection until either side has had enough.
async fn serve(
    mut stream: TcpStream,
    act: Arc<impl Fn(usize) -> Act>,
    arrived: Arc<AtomicUsize>,
    bodies: Arc<Mutex<Vec<String>>>,
) -> Option<()> {
    let mut bytes = Vec::new();
    loop {
        let length = loop {
            let text = String::from_utf8_lossy(&bytes);
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head.split("content-length: ").nth(1)?.lines().next()?;
                let length: usize = length.parse().ok()?;
                if body.len() >= length {
                    break head.len() + 4 + length;
                }
            }
            if stream.read_buf(&mut bytes).await.ok()? == 0 {
                return None;
            }
        };
        let request: Vec<u8> = bytes.drain(..length).collect();
        let request = String::from_utf8(request).ok()?;
        let (_, body) = request.split_once("\r\n\r\n")?;
        let number = {
            // Both under one lock, so that a body's place is the number of its request.
            let mut bodies = bodies.lock().ok()?;
            bodies.push(body.to_owned());
            arrived.fetch_add(1, Ordering::Relaxed)
        };
        match act(number) {
            Act::Send(answer) => stream.write_all(answer.as_bytes()).await.ok()?,
            Act::SendAndClose(answer) => return stream.write_all(answer.as_bytes()).await.ok(),
            Act::Endless(first, again) => {
                stream.write_all(first.as_bytes()).await.ok()?;
                loop {
                    stream.write_all(again.as_bytes()).await.ok()?;
                }
            }
            Act::Stall => std::future::pending().await,
        }
    }
}

/// An answer with its length.
pub fn whole(status: u16, content_type: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status} X\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\nx-inference-pod: pod-0\r\n\r\n{body}",
        body.len()
    )
}

/// The frame of a token.
pub fn token(text: &str) -> String {
    format!(
        "data: {{\"id\":\"c\",\"usage\":null,\"choices\":[{{\"index\":0,\"finish_reason\":null,\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n"
    )
}

/// The frames behind the last one of so many tokens.
pub fn end(tokens: usize) -> String {
    format!(
        "data: {{\"id\":\"c\",\"choices\":[{{\"index\":0,\"finish_reason\":\"length\",\"delta\":{{\"content\":\"\"}}}}]}}\n\n\
         data: {{\"id\":\"c\",\"choices\":[],\"usage\":{{\"prompt_tokens\":5,\"completion_tokens\":{tokens}}}}}\n\ndata: [DONE]\n\n"
    )
}

/// A stream of these frames, whole as far as HTTP goes.
pub fn stream(frames: &str) -> String {
    whole(200, "text/event-stream", frames)
}
