//! Servers that send without end: what is kept of their answers is bounded, for each and for all together.

#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use poolproof_client::evidence;
use poolproof_client::kept::KEPT_LIMIT_BYTES;
use poolproof_client::{Api, Client, Connections, Ending, Request};

/// Answers each connection with a head and with `part` again and again: `times`, or until the client has left.
fn server(head: &'static str, part: Vec<u8>, times: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, part) = (stream.unwrap(), part.clone());
            std::thread::spawn(move || {
                let asked = stream.read(&mut [0; 4096]).is_ok_and(|read| read > 0);
                if !asked || stream.write_all(head.as_bytes()).is_err() {
                    return;
                }
                for _ in 0..times {
                    if stream.write_all(&part).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

fn client(address: SocketAddr) -> Client {
    let url = format!("http://{address}/").parse().unwrap();
    Client::new("test", &url, Connections::NewPerRequest, Arc::default()).unwrap()
}

fn request() -> Request {
    Request::from_bytes(Api::Completions, "{}").timeout(Duration::from_secs(30))
}

const WHOLE: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n";
const EVENTS: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
const MIB: usize = 1 << 20;

#[tokio::test]
async fn answers_without_end_are_given_up_and_little_of_them_is_kept() {
    for (head, part) in [
        (WHOLE, "a".repeat(MIB)),
        (EVENTS, format!("data: {}\n\n", "a".repeat(MIB - 8))),
        (EVENTS, "data:\n\n".repeat(MIB / 7)),
    ] {
        let address = server(head, part.into(), usize::MAX);
        let exchange = client(address).send(request()).await;
        assert_eq!(exchange.ending, Ending::TooLarge);
        assert!(exchange.body.capacity() <= MIB && exchange.frames.is_empty());
    }
}

#[tokio::test]
async fn what_is_kept_of_all_answers_is_bounded_until_they_are_dropped() {
    let client = client(server(WHOLE, vec![b'a'; MIB], 7));
    let mut exchanges = Vec::new();
    for _ in 0..KEPT_LIMIT_BYTES / (7 * MIB) + 4 {
        exchanges.push(client.send(request()).await);
    }
    let kept: usize = exchanges.iter().map(|it| it.body.capacity()).sum();
    assert!(kept <= KEPT_LIMIT_BYTES + MIB, "{kept}");
    assert_eq!(exchanges[0].ending, Ending::Complete);
    assert_eq!(exchanges[exchanges.len() - 1].ending, Ending::TooLarge);
    exchanges.clear();
    assert_eq!(client.send(request()).await.ending, Ending::Complete);
}

#[tokio::test]
async fn heads_and_pages_without_end_are_given_up() {
    let endless = server(
        "HTTP/1.1 200 OK\r\n",
        b"x-more: abc\r\n".repeat(1000),
        usize::MAX,
    );
    let exchange = client(endless).send(request()).await;
    assert!(
        matches!(exchange.ending, Ending::Cut(_)),
        "{:?}",
        exchange.ending
    );
    let wait = Duration::from_millis(100);
    let expected = client(endless).send_expecting(request(), wait).await;
    assert!(matches!(expected.exchange.ending, Ending::Cut(_)));

    let page = server(
        WHOLE,
        b"vllm:num_requests_waiting 0\n".repeat(40_000),
        usize::MAX,
    );
    let http = poolproof_client::http(0).unwrap();
    let url = format!("http://{page}/metrics").parse().unwrap();
    let error = evidence::metrics(&http, &url).await.unwrap_err();
    let error = format!("{error:#}");
    assert!(
        error.contains(&page.to_string()) && error.contains("more than"),
        "{error}"
    );
}

#[tokio::test]
async fn interim_answers_without_end_end_with_the_timeout() {
    let interim = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n".repeat(1000);
    let client = client(server("", interim, usize::MAX));
    let sent = client.send(request().timeout(Duration::from_secs(1)));
    let exchange = sent.await;
    assert_eq!((exchange.status, exchange.ending), (None, Ending::TimedOut));
}
