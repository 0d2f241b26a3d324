//! The least that a client can do: it sends the same request on every connection, one at a time, reads each answer to its end and counts its
//! events. Nothing is parsed that the end does not depend on, and nothing is timed: what `ci/bench-peers` takes for the floor.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use memchr::memmem;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

#[derive(Parser)]
struct Args {
    /// The server
    address: SocketAddr,
    /// What each request carries
    #[arg(long, value_name = "FILE")]
    body: PathBuf,
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// How long requests are sent
    #[arg(long, default_value_t = 5)]
    seconds: u64,
}

const HEAD_END: &[u8] = b"\r\n\r\n";
/// The end of a chunked body (RFC 9112, section 7.1).
const LAST_CHUNK: &[u8] = b"\r\n0\r\n\r\n";
const EVENT_END: &[u8] = b"\n\n";
const READ_BYTES: usize = 64 << 10;

fn main() -> Result<()> {
    let args = Args::parse();
    let body = std::fs::read(&args.body)
        .with_context(|| format!("reading --body {}", args.body.display()))?;
    let mut request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        args.address,
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(&body);

    let mut poll = Poll::new()?;
    let mut connections = Vec::new();
    for index in 0..args.connections {
        let stream = std::net::TcpStream::connect(args.address)
            .with_context(|| format!("connecting to {}", args.address))?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        let registry = poll.registry();
        registry.register(&mut stream, Token(index), Interest::READABLE)?;
        send(&mut stream, &request)?;
        connections.push(Connection {
            stream,
            answer: Answer::default(),
        });
    }

    let end = Instant::now() + Duration::from_secs(args.seconds);
    let mut events = Events::with_capacity(args.connections);
    let mut room = vec![0; READ_BYTES];
    let (mut busy, mut answers, mut frames) = (args.connections, 0_u64, 0);
    while busy > 0 {
        poll.poll(&mut events, None)?;
        for event in &events {
            let connection = &mut connections[event.token().0];
            while let Some(n) = connection.receive(&mut room)? {
                if connection.answer.take(&room[..n])? {
                    answers += 1;
                    frames += connection.answer.events;
                    connection.answer = Answer::default();
                    if Instant::now() < end {
                        send(&mut connection.stream, &request)?;
                    } else {
                        busy -= 1;
                    }
                }
                // Later data raises an event of its own.
                if n < room.len() {
                    break;
                }
            }
        }
    }
    println!("{answers} answers, {frames} events");
    Ok(())
}

struct Connection {
    stream: TcpStream,
    answer: Answer,
}

impl Connection {
    /// Reads what is there; `None` if nothing is.
    fn receive(&mut self, room: &mut [u8]) -> Result<Option<usize>> {
        match self.stream.read(room) {
            Ok(0) => bail!("the server closed a connection"),
            Ok(n) => Ok(Some(n)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error).context("reading"),
        }
    }
}

/// Sends a request; it fits into the buffer of a socket whose last one was answered.
fn send(stream: &mut TcpStream, request: &[u8]) -> Result<()> {
    let sent = stream.write(request).context("writing")?;
    ensure!(
        sent == request.len(),
        "a socket took {sent} of the {} bytes of a request",
        request.len()
    );
    Ok(())
}

/// An answer, as far as it has come.
#[derive(Default)]
struct Answer {
    end: Option<End>,
    events: u64,
    /// Its last bytes, since what is looked for may come in two parts.
    tail: [u8; LAST_CHUNK.len()],
}

/// Where an answer ends.
enum End {
    /// Behind so many bytes.
    Bytes(usize),
    /// Where the last chunk is: nobody sends anything behind it, since there is one request at a time.
    LastChunk,
}

impl Answer {
    /// Takes what has arrived: whether that was the end.
    fn take(&mut self, bytes: &[u8]) -> Result<bool> {
        let mut body = bytes;
        if self.end.is_none() {
            let head_end = memmem::find(bytes, HEAD_END).context("a head in two parts")?;
            let (head, rest) = bytes.split_at(head_end + HEAD_END.len());
            self.end = Some(End::of(head)?);
            body = rest;
        }
        Ok(match &mut self.end {
            Some(End::Bytes(missing)) => {
                *missing = missing
                    .checked_sub(body.len())
                    .context("bytes behind the end of an answer")?;
                *missing == 0
            }
            _ => {
                let in_two = self.tail.ends_with(b"\n") && body.starts_with(b"\n");
                self.events +=
                    u64::from(in_two) + memmem::find_iter(body, EVENT_END).count() as u64;
                let kept = self.tail.len();
                match body.last_chunk() {
                    Some(tail) => self.tail = *tail,
                    None => {
                        self.tail.rotate_left(body.len());
                        self.tail[kept - body.len()..].copy_from_slice(body);
                    }
                }
                self.tail == LAST_CHUNK
            }
        })
    }
}

impl End {
    fn of(head: &[u8]) -> Result<Self> {
        ensure!(
            head.starts_with(b"HTTP/1.1 200"),
            "an answer that is not 200"
        );
        const LENGTH: &[u8] = b"content-length: ";
        let Some(at) = memmem::find(head, LENGTH) else {
            return Ok(Self::LastChunk);
        };
        let mut lines = head[at + LENGTH.len()..].split(|byte| *byte == b'\r');
        let length = std::str::from_utf8(lines.next().unwrap_or_default())?.parse();
        Ok(Self::Bytes(length.context("content-length")?))
    }
}
