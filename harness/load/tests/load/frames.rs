//! A server of HTTP/2, frame by frame (RFC 9113, section 4), that refuses requests as real ones do.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What it does with requests.
#[derive(Clone, Copy, Debug)]
pub enum Way {
    /// Refuses each third request of a connection: REFUSED_STREAM.
    RefusesEachThird,
    /// Refuses every request.
    RefusesAll,
    /// Answers three requests of a connection and leaves out the fourth: GOAWAY with the id of the third.
    GoesAwayBeforeTheFourth,
    /// As many requests at once as this, each answered after a while.
    Allows(u32),
    /// Resets each third request after its first token.
    ResetsEachThird,
}

/// A running server; it ends with the runtime.
pub struct Frames {
    pub address: SocketAddr,
    pub accepted: Arc<AtomicUsize>,
    /// The most requests that a connection had open at once.
    pub at_once: Arc<AtomicUsize>,
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;
const REFUSED_STREAM: u32 = 7;
const INTERNAL_ERROR: u32 = 2;
const MAX_CONCURRENT_STREAMS: u16 = 3;
/// How long an answer of [`Way::Allows`] takes.
const HELD: Duration = Duration::from_millis(60);

impl Frames {
    pub async fn start(way: Way, body: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            accepted: Arc::default(),
            at_once: Arc::default(),
        };
        let (accepted, at_once) = (server.accepted.clone(), server.at_once.clone());
        let requests = Arc::<AtomicUsize>::default();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                accepted.fetch_add(1, Ordering::Relaxed);
                let (requests, at_once) = (requests.clone(), at_once.clone());
                tokio::spawn(serve(stream, way, body.clone(), requests, at_once));
            }
        });
        server
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// `:status: 200` and `content-type: text/event-stream`, without indexing (RFC 7541, section 6).
fn head(stream: u32) -> Vec<u8> {
    let kind = b"text/event-stream";
    let mut block = vec![0x88, 0x0f, 0x10, kind.len() as u8];
    block.extend(kind);
    frame(HEADERS, END_HEADERS, stream, &block)
}

async fn serve(
    stream: TcpStream,
    way: Way,
    body: String,
    requests: Arc<AtomicUsize>,
    at_once: Arc<AtomicUsize>,
) -> Option<()> {
    let (mut read, write) = stream.into_split();
    let write = Arc::new(tokio::sync::Mutex::new(write));
    let send = async |bytes: Vec<u8>| write.lock().await.write_all(&bytes).await.ok();
    let mut preface = [0; 24];
    read.read_exact(&mut preface).await.ok()?;
    let mut settings = Vec::new();
    if let Way::Allows(streams) = way {
        settings.extend(MAX_CONCURRENT_STREAMS.to_be_bytes());
        settings.extend(streams.to_be_bytes());
    }
    send(frame(SETTINGS, 0, 0, &settings)).await?;
    let open = Arc::new(Mutex::new(0));
    let mut here = 0;
    loop {
        let mut head_of_frame = [0; 9];
        read.read_exact(&mut head_of_frame).await.ok()?;
        let [a, b, c, kind, flags, rest @ ..] = head_of_frame;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        read.read_exact(&mut payload).await.ok()?;
        let id = u32::from_be_bytes(rest);
        match kind {
            SETTINGS if flags & ACK == 0 => send(frame(SETTINGS, ACK, 0, &[])).await?,
            PING if flags & ACK == 0 => send(frame(PING, ACK, 0, &payload)).await?,
            // A request is whole with the end of its body.
            DATA if flags & END_STREAM != 0 => {
                let number = requests.fetch_add(1, Ordering::Relaxed);
                here += 1;
                let refuses = match way {
                    Way::RefusesEachThird => here % 3 == 0,
                    Way::RefusesAll => true,
                    _ => false,
                };
                if refuses {
                    let code = REFUSED_STREAM.to_be_bytes();
                    send(frame(RST_STREAM, 0, id, &code)).await?;
                    continue;
                }
                if matches!(way, Way::ResetsEachThird) && number % 3 == 2 {
                    let (first, _) = body.split_once("\n\n").unwrap();
                    let mut bytes = head(id);
                    bytes.extend(frame(DATA, 0, id, format!("{first}\n\n").as_bytes()));
                    bytes.extend(frame(RST_STREAM, 0, id, &INTERNAL_ERROR.to_be_bytes()));
                    send(bytes).await?;
                    continue;
                }
                if matches!(way, Way::GoesAwayBeforeTheFourth) && here == 4 {
                    let mut last = (id - 2).to_be_bytes().to_vec();
                    last.extend([0; 4]);
                    send(frame(GOAWAY, 0, 0, &last)).await?;
                    return Some(());
                }
                let mut bytes = head(id);
                bytes.extend(frame(DATA, END_STREAM, id, body.as_bytes()));
                if let Way::Allows(_) = way {
                    let now = {
                        let mut open = open.lock().unwrap();
                        *open += 1;
                        *open
                    };
                    at_once.fetch_max(now, Ordering::Relaxed);
                    let (open, write) = (open.clone(), write.clone());
                    tokio::spawn(async move {
                        tokio::time::sleep(HELD).await;
                        *open.lock().unwrap() -= 1;
                        write.lock().await.write_all(&bytes).await.ok()
                    });
                } else {
                    send(bytes).await?;
                }
            }
            _ => {}
        }
    }
}
