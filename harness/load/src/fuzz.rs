//! Entries for a fuzzer: answers as they arrive, byte by byte, without a server.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use tokio::task::LocalSet;

use crate::answer::Asked;
use crate::http1::{self, Listener};
use crate::http2::Connection;
use crate::transport::Io;

/// Longer than the exchange of any input takes.
const TIMEOUT: Duration = Duration::from_secs(5);

struct Ignores;

impl Listener for Ignores {
    fn served_by_header(&self) -> &str {
        "x-served-by"
    }
    fn head(&mut self, _: Option<&[u8]>) {}
    fn gap(&mut self, _: Duration) {}
}

/// Reads an answer of HTTP/1.1 that arrives in pieces of this size.
pub fn http1(wire: &[u8], size: usize, asked: Asked) {
    // Whatever it is read as: only a panic or a hang is a fault.
    let _ = http1::read(wire.chunks(size.max(1)), asked, &mut Ignores);
}

/// Reads what a server of HTTP/2 sends, and then closes. Fails if this machine has no connection for it, or if reading does not end.
pub fn http2(wire: &[u8], asked: Asked) {
    let exchanged = exchange(wire, asked);
    exchanged.unwrap_or_else(|error| panic!("{error:#}"));
}

fn exchange(wire: &[u8], asked: Asked) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let client = TcpStream::connect(listener.local_addr()?)?;
    let (mut server, _) = listener.accept()?;
    client.set_nonblocking(true)?;
    let wire = wire.to_vec();
    let sending = std::thread::spawn(move || {
        // The client may have given up before.
        let _ = server.write_all(&wire);
        let _ = server.shutdown(std::net::Shutdown::Write);
        let _ = server.set_read_timeout(Some(TIMEOUT));
        while matches!(server.read(&mut [0; 4096]), Ok(1..)) {}
    });
    let tasks = Rc::new(LocalSet::new());
    let exchanged = tasks.run_until(async {
        let io = Io::Plain(tokio::net::TcpStream::from_std(client)?);
        if let Ok(mut connection) = Connection::new(io, &tasks).await {
            let request = http::Request::post("http://h/v1/completions").body(());
            let _ = connection
                .exchange(request, Bytes::from_static(b"{}"), asked, &mut Ignores)
                .await;
        }
        anyhow::Ok(())
    });
    let exchanged = runtime.block_on(async { tokio::time::timeout(TIMEOUT, exchanged).await });
    drop(tasks);
    drop(runtime);
    // It has printed its panic.
    let _ = sending.join();
    exchanged.context("no end of the exchange")?
}
