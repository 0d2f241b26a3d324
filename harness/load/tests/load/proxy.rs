//! An http proxy.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Starts a proxy that connects, and gives this answer itself to requests that it should forward. Returns its address and the heads that it got.
pub async fn proxy(answer: String) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let heads = Arc::<Mutex<Vec<String>>>::default();
    let seen = heads.clone();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (seen, answer) = (seen.clone(), answer.clone());
            tokio::spawn(async move {
                let mut bytes = Vec::new();
                while !bytes.windows(4).any(|end| end == b"\r\n\r\n") {
                    if stream.read_buf(&mut bytes).await.unwrap() == 0 {
                        return;
                    }
                }
                let head = String::from_utf8_lossy(&bytes).into_owned();
                seen.lock().unwrap().push(head.clone());
                match head.strip_prefix("CONNECT ") {
                    None => stream.write_all(answer.as_bytes()).await.unwrap(),
                    Some(rest) => {
                        let to = rest.split(' ').next().unwrap();
                        let mut server = TcpStream::connect(to).await.unwrap();
                        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                        // Either side ends it.
                        let _ = tokio::io::copy_bidirectional(&mut stream, &mut server).await;
                    }
                }
            });
        }
    });
    (address, heads)
}
