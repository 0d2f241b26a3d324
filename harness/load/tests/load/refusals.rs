//! What servers do instead of a plain answer: refuse, compress, redirect, close, and ask for a pause.

use std::io::Write;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use flate2::Compression;
use http_body_util::Full;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::frames::{Frames, Way};
use crate::front::{Answer, Front, Seen};
use crate::reach::{BOTH, details, failures, frames, send_to, target, ten};
use crate::server::{Act, Server};
use crate::{all, good, hundred_a_second};

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_a_server_did_not_process_are_sent_again() {
    for (way, answered, resent, connections) in [
        (Way::RefusesEachThird, 30, 1..=20, 2..=21),
        (Way::GoesAwayBeforeTheFourth, 30, 1..=10, 8..=12),
        (Way::RefusesAll, 0, 30..=30, 2..=31),
    ] {
        let server = Frames::start(way, frames()).await;
        let target = target(&format!("url = 'http://{}'", server.address));
        let measured = send_to(&target, &hundred_a_second(0.3, "http = '2'")).await;
        let all = all(&measured);
        assert_eq!(all.answered, answered, "{way:?}: {}", details(&measured));
        assert!(
            resent.contains(&measured.recorder.extra.resent),
            "{way:?}: {:?}",
            measured.recorder.extra
        );
        let accepted = server.accepted.load(Ordering::Relaxed);
        assert!(connections.contains(&accepted), "{way:?}: {accepted}");
    }
    // What was answered in part is not sent again.
    let server = Frames::start(Way::ResetsEachThird, frames()).await;
    let target = target(&format!("url = 'http://{}'", server.address));
    let measured = send_to(&target, &hundred_a_second(0.3, "http = '2'")).await;
    assert_eq!(failures(&measured), [("cut".to_owned(), 10)]);
    assert_eq!(measured.recorder.extra.resent, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_allows_few_streams_gets_more_connections() {
    let server = Frames::start(Way::Allows(2), frames()).await;
    let target = target(&format!("url = 'http://{}'", server.address));
    let measured = send_to(&target, &hundred_a_second(0.3, "http = '2'")).await;
    let all = all(&measured);
    assert_eq!(all.answered, 30, "{}", details(&measured));
    assert!(server.at_once.load(Ordering::Relaxed) <= 2);
    assert!(server.accepted.load(Ordering::Relaxed) >= 3);
    // None waited inside the client for one of the two places.
    let slowest = all
        .series(poolproof_model::workload::Series::Ttft)
        .unwrap()
        .max();
    assert!(slowest < 1_000_000, "{slowest} us");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_the_other_version_is_named_as_such() {
    let server = Server::start(|_| Act::Send(good())).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let answering = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let bad = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
            stream.write_all(bad).await.unwrap();
        }
    });
    for (address, wanted) in [
        (server.address, "perhaps the server does not speak HTTP/2"),
        (answering, "\"HTTP/1.1 400 Bad Request\""),
    ] {
        let measured = ten(&target(&format!("url = 'http://{address}'")), "2", "").await;
        assert_eq!(failures(&measured), [("no-connection".to_owned(), 10)]);
        let details = details(&measured);
        assert!(
            details.contains(wanted) && details.contains("`http = \"1.1\"`"),
            "{details}"
        );
    }
}

fn compressed(coding: &str, text: &str) -> Vec<u8> {
    let text = text.as_bytes();
    match coding {
        "deflate" => {
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        }
        _ => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        }
    }
}

fn encoded(coding: &str, body: Vec<u8>) -> Answer {
    http::Response::builder()
        .header("content-type", "text/event-stream")
        .header("content-encoding", coding)
        .body(Full::new(Bytes::from(body)))
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_compressed_unasked_is_decoded() {
    for http in BOTH {
        for (coding, body, failed, why) in [
            ("gzip", compressed("gzip", &frames()), None, ""),
            ("GZip", compressed("gzip", &frames()), None, ""),
            ("deflate", compressed("deflate", &frames()), None, ""),
            ("identity", frames().into_bytes(), None, ""),
            (
                "gzip",
                frames().into_bytes(),
                Some("encoded"),
                "not of its content-encoding",
            ),
            (
                "br",
                b"whatever".to_vec(),
                Some("encoded"),
                "content-encoding is br",
            ),
            (
                "gzip",
                compressed("gzip", &frames())[..60].to_vec(),
                Some("encoded"),
                "not whole",
            ),
        ] {
            let answer = move |_: &Seen| encoded(coding, body.clone());
            let front = Front::start(None, answer).await;
            let target = target(&format!("url = 'http://{}'", front.address));
            let measured = ten(&target, http, "").await;
            let wanted: Vec<(String, u64)> =
                failed.iter().map(|kind| ((*kind).to_owned(), 10)).collect();
            assert_eq!(
                failures(&measured),
                wanted,
                "{http} {coding}: {}",
                details(&measured)
            );
            assert!(details(&measured).contains(why), "{}", details(&measured));
            assert_eq!(all(&measured).chunks, if failed.is_some() { 0 } else { 30 });
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_shows_where_it_leads() {
    for http in BOTH {
        let answer = |_: &Seen| {
            let builder = http::Response::builder().status(307);
            let builder = builder.header("location", "/moved/v1");
            builder.body(Full::default()).unwrap()
        };
        let front = Front::start(None, answer).await;
        let measured = ten(
            &target(&format!("url = 'http://{}'", front.address)),
            http,
            "",
        )
        .await;
        assert_eq!(failures(&measured), [("status-307".to_owned(), 10)]);
        assert!(details(&measured).contains("location: /moved/v1"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_connection_that_ends_is_told_from_a_new_one() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut bytes = [0; 4096];
                assert!(stream.read(&mut bytes).await.unwrap() > 0);
                stream.write_all(good().as_bytes()).await.unwrap();
                // The second request of a connection meets its end.
                let _ = stream.read(&mut bytes).await;
            });
        }
    });
    let target = target(&format!("url = 'http://{address}'"));
    let workload = "shows = 'x'\nduration_s = 0.3\narrival = { process = 'closed', users = 1, think_ms = 10 }\n\
                    [[mix]]\nclass = 'c'\ninput_tokens = 20\noutput_tokens = 3\n";
    let measured = send_to(&target, workload).await;
    let kinds: Vec<String> = failures(&measured)
        .into_iter()
        .map(|(kind, _)| kind)
        .collect();
    assert_eq!(kinds, ["closed-when-reused"]);
    assert!(details(&measured).contains("`new_connections = true`"));
    let workload = workload.replace("duration_s", "new_connections = true\nduration_s");
    assert_eq!(failures(&send_to(&target, &workload).await), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn users_pause_after_failures() {
    for (arrival, after, requests) in [
        ("process = 'closed', users = 1", Some("1"), 1..=1),
        ("process = 'closed', users = 1", None, 3..=8),
        (
            "process = 'sessions', users = 1, turns = 2, think_time_s = 0",
            Some("1"),
            1..=1,
        ),
        (
            "process = 'sessions', users = 1, turns = 2, think_time_s = 0",
            None,
            3..=8,
        ),
    ] {
        for http in BOTH {
            let answer = move |_: &Seen| {
                let mut builder = http::Response::builder().status(429);
                if let Some(after) = after {
                    builder = builder.header("retry-after", after);
                }
                builder.body(Full::default()).unwrap()
            };
            let front = Front::start(None, answer).await;
            let target = target(&format!("url = 'http://{}'", front.address));
            let workload = format!(
                "shows = 'x'\nduration_s = 0.5\nhttp = '{http}'\narrival = {{ {arrival} }}\n\
                 [[mix]]\nclass = 'c'\ninput_tokens = 20\noutput_tokens = 3\n"
            );
            let measured = send_to(&target, &workload).await;
            let sent = front.seen().len();
            assert!(
                requests.contains(&sent),
                "{http} {arrival} {after:?}: {sent}"
            );
            let extra = measured.recorder.extra;
            assert_eq!(extra.pauses, sent as u64);
            assert!(extra.paused.as_millis() >= 300, "{extra:?}");
        }
    }
}
