//! The load engine against servers that answer well, badly, late or not at all.
#![allow(clippy::unwrap_used)]

mod certificates;
mod frames;
mod front;
mod over_time;
mod picker;
mod proxy;
mod reach;
mod refusals;
mod server;
mod sessions;
mod shapes;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use poolproof_load::engine::{self, Job, Measured, Part, Sender, Snapshot};
use poolproof_load::recorder::Cell;
use poolproof_model::target::Target;
use poolproof_model::workload::Series;
use poolproof_model::workload::Workload;
use tokio_util::sync::CancellationToken;
use url::Url;

use server::{Act, Server, end, stream, token, whole};

const THREADS: usize = 2;

/// Sends a workload, given by its arrival and more keys of its class.
async fn send(server: &Server, workload: &str, stop: &CancellationToken) -> Measured {
    send_and_watch(server, workload, stop, &mut |_| {}).await
}

/// The same; `watch` receives the progress.
async fn send_and_watch(
    server: &Server,
    workload: &str,
    stop: &CancellationToken,
    watch: &mut (dyn FnMut(&Snapshot) + Send),
) -> Measured {
    let url = Url::parse(&format!("http://{}", server.address)).unwrap();
    let target: Target = toml::from_str(&format!(
        "name = 't'\nurl = '{url}'\n[[models]]\nname = 'm'\n[[models.pools]]\nname = 'p'\nweight = 1"
    ))
    .unwrap();
    let workload: Workload = toml::from_str(workload).unwrap();
    workload.check().unwrap();
    let sender = Sender {
        urls: &[url],
        sources: &[],
        vocabulary: None,
        threads: THREADS,
        seed: 1,
        part: Part::whole(),
    };
    let job = Job::new(workload, None, &target, sender).await.unwrap();
    engine::run(job, stop, watch).await.unwrap()
}

/// A workload of requests for streams, a hundred a second.
fn hundred_a_second(duration_s: f64, more: &str) -> String {
    format!(
        "shows = 'x'\nduration_s = {duration_s}\narrival = {{ process = 'constant', rate_per_s = 100 }}\n{more}\n\
         [[mix]]\nclass = 'c'\ninput_tokens = 20\noutput_tokens = 3\n"
    )
}

fn all(measured: &Measured) -> Cell {
    measured.recorder.sum(|_| true)
}

fn good() -> String {
    stream(&(token("a ") + &token("b ") + &token("c ") + &end(3)))
}

/// Every second request is broken in some way; half of them, and no other, must be counted as failed, as what they are.
async fn half_of_them_fail_as(broken: Act, wanted: &str) {
    let server = Server::start(move |number| match number % 2 {
        0 => Act::Send(good()),
        _ => broken.clone(),
    })
    .await;
    // On a kept connection, one that ends before an answer is a kind of its own.
    let new = wanted == "closed-before-answer";
    let workload = hundred_a_second(0.4, &format!("timeout_s = 1\nnew_connections = {new}"));
    let measured = send(&server, &workload, &CancellationToken::new()).await;
    let all = all(&measured);
    let failed: BTreeMap<String, u64> = all
        .failed
        .iter()
        .map(|(kind, n)| (kind.to_string(), *n))
        .collect();
    assert_eq!(failed, BTreeMap::from([(wanted.to_owned(), 20)]));
    assert_eq!((all.requests, all.answered), (40, 20), "{wanted}");
    let example = measured.recorder.examples.first().unwrap();
    assert!(example.detail.len() < 1000, "{wanted}");
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_streams_are_failures_of_their_kind() {
    let (a, b, c) = (token("a "), token("b "), token("c "));
    let error = "data: {\"error\":{\"message\":\"engine died\"}}\n\ndata: [DONE]\n\n";
    for (frames, wanted) in [
        (format!("{a}{b}"), "no-done"),
        (format!("{a}{error}"), "error-event"),
        (format!("{a}{b}{b}{c}{}", end(3)), "repeated"),
        (format!("{a}{b}{}{c}", end(3)), "out-of-order"),
    ] {
        half_of_them_fail_as(Act::Send(stream(&frames)), wanted).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_answers_are_failures_of_their_kind() {
    let cut = good();
    for (broken, wanted) in [
        (Act::SendAndClose(cut[..cut.len() - 40].to_owned()), "cut"),
        (Act::SendAndClose(String::new()), "closed-before-answer"),
        (
            Act::Send(whole(200, "application/json", "{\"error\":\"no\"}")),
            "error-body",
        ),
        (Act::Send(whole(200, "text/html", "<html>")), "not-json"),
        (Act::Send(whole(503, "text/plain", "busy")), "status-503"),
        (
            Act::SendAndClose("SSH-2.0-OpenSSH_9.2\r\n".to_owned()),
            "not-http",
        ),
        (Act::Stall, "timed-out"),
    ] {
        half_of_them_fail_as(broken, wanted).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_never_ends_is_given_up_early() {
    let head = "HTTP/1.1 200 X\r\ncontent-type: text/event-stream\r\n\r\ndata: ".to_owned();
    let line = "x".repeat(1 << 16);
    half_of_them_fail_as(Act::Endless(head, line.clone()), "too-long").await;
    half_of_them_fail_as(
        Act::Endless("HTTP/1.1 200 X\r\nx: ".to_owned(), line),
        "too-long",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_answer_may_come_in_any_form() {
    let body = token("a ") + &token("b ") + &token("c ") + &end(3);
    let chunked = body
        .as_bytes()
        .chunks(7)
        .map(|part| format!("{:x}\r\n{}\r\n", part.len(), String::from_utf8_lossy(part)));
    let head = "HTTP/1.1 200 X\r\ncontent-type: text/event-stream\r\n";
    let chunked = format!(
        "{head}transfer-encoding: chunked\r\n\r\n{}0\r\n\r\n",
        chunked.collect::<String>()
    );
    let until_close = format!("{head}\r\n{body}");
    let continued = format!("HTTP/1.1 100 Continue\r\n\r\n{}", good());
    let crlf = stream(&body.replace('\n', "\r\n"));
    for act in [
        Act::Send(chunked),
        Act::SendAndClose(until_close),
        Act::Send(continued),
        Act::Send(crlf),
    ] {
        let server = Server::start(move |_| act.clone()).await;
        let measured = send(
            &server,
            &hundred_a_second(0.1, ""),
            &CancellationToken::new(),
        )
        .await;
        let all = all(&measured);
        assert_eq!(
            (all.answered, all.chunks, all.input_tokens),
            (10, 30, 50),
            "{:?}",
            all.failed
        );
    }
}

/// A server of HTTP/2 that answers every request with a stream, and how many connections it has accepted.
async fn http2_server() -> (std::net::SocketAddr, Arc<AtomicUsize>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let accepted = Arc::<AtomicUsize>::default();
    let counted = accepted.clone();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            counted.fetch_add(1, Ordering::Relaxed);
            let answer = hyper::service::service_fn(|request: http::Request<Incoming>| async {
                let body = request.into_body().collect().await?.to_bytes();
                assert!(body.ends_with(b"}"));
                let frames = [token("a "), token("b "), token("c "), end(3)]
                    .map(|text| Ok::<_, hyper::Error>(Frame::data(Bytes::from(text))));
                let body = StreamBody::new(futures_util::stream::iter(frames));
                let response = http::Response::builder()
                    .header("content-type", "text/event-stream")
                    .header("x-inference-pod", "pod-2");
                Ok::<_, hyper::Error>(response.body(body).unwrap())
            });
            let serving = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), answer);
            tokio::spawn(serving);
        }
    });
    (address, accepted)
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_share_connections_of_http2() {
    for (more, wanted) in [
        ("http = '2'", THREADS),
        ("http = '2'\nnew_connections = true", 30),
    ] {
        let (address, accepted) = http2_server().await;
        let server = Server {
            address,
            connections: accepted,
            requests: Arc::default(),
            bodies: Arc::default(),
        };
        let measured = send(
            &server,
            &hundred_a_second(0.3, more),
            &CancellationToken::new(),
        )
        .await;
        let all = all(&measured);
        assert_eq!(
            (all.answered, all.chunks, all.output_tokens),
            (30, 90, 90),
            "{:?}",
            measured.recorder.examples
        );
        assert_eq!(measured.recorder.endpoints(), ["pod-2"]);
        assert_eq!(server.connections.load(Ordering::Relaxed), wanted);
    }
    // A server of HTTP/1.1 is named as such, without a wait.
    let server = Server::start(|_| Act::Send(good())).await;
    let measured = send(
        &server,
        &hundred_a_second(0.1, "http = '2'\ntimeout_s = 1"),
        &CancellationToken::new(),
    )
    .await;
    assert_eq!(all(&measured).failures(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_kept_or_made_anew_as_the_workload_says() {
    for (more, new) in [("", false), ("new_connections = true", true)] {
        let server = Server::start(|_| Act::Send(good())).await;
        let measured = send(
            &server,
            &hundred_a_second(0.3, more),
            &CancellationToken::new(),
        )
        .await;
        assert_eq!(all(&measured).answered, 30);
        let opened = server.connections.load(Ordering::Relaxed);
        match new {
            // As many as a second of arrivals needs are opened before the clock runs.
            false => assert_eq!((opened, measured.recorder.connect.0.len()), (100, 0)),
            true => assert_eq!((opened, measured.recorder.connect.0.len()), (30, 30)),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stands_still_is_told_by_the_times_from_when_requests_were_due() {
    // One request takes a second; those behind it are sent all the same.
    let server = Server::start(|number| {
        if number == 10 {
            std::thread::sleep(Duration::from_secs(1));
        }
        Act::Send(good())
    })
    .await;
    let measured = send(
        &server,
        &hundred_a_second(0.5, ""),
        &CancellationToken::new(),
    )
    .await;
    let all = all(&measured);
    assert_eq!((all.requests, all.answered), (50, 50));
    assert_eq!(measured.recorder.lag.0.len(), 50);
    let e2e = all.series(Series::E2e).unwrap();
    assert!(e2e.max() >= 1_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warm_up_is_sent_and_not_counted() {
    let server = Server::start(|_| Act::Send(good())).await;
    let workload = hundred_a_second(0.3, "warm_up_s = 0.1");
    let measured = send(&server, &workload, &CancellationToken::new()).await;
    assert_eq!(server.requests.load(Ordering::Relaxed), 30);
    assert_eq!(
        (measured.started_requests, all(&measured).requests),
        (30, 20)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn users_of_a_closed_loop_wait_for_their_answers() {
    let server = Server::start(|_| Act::Stall).await;
    let workload = "shows = 'x'\nduration_s = 0.2\ntimeout_s = 0.3\narrival = { process = 'closed', users = 5 }\n\
                    [[mix]]\nclass = 'c'\ninput_tokens = 20\noutput_tokens = 3\n";
    let measured = send(&server, workload, &CancellationToken::new()).await;
    assert_eq!(all(&measured).requests, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_run_says_what_had_not_ended() {
    let server = Server::start(|_| Act::Stall).await;
    let stop = CancellationToken::new();
    let workload = hundred_a_second(60.0, "");
    let (measured, ()) = tokio::join!(send(&server, &workload, &stop), async {
        server.has_requests(5).await;
        stop.cancel();
    });
    assert!(measured.unfinished >= 5);
    assert_eq!(all(&measured).requests, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_there_is_a_failure_of_every_request() {
    let server = Server::start(|_| Act::Stall).await;
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server = Server {
        address: gone.local_addr().unwrap(),
        ..server
    };
    drop(gone);
    let measured = send(
        &server,
        &hundred_a_second(0.1, ""),
        &CancellationToken::new(),
    )
    .await;
    let failed = all(&measured).failed;
    assert_eq!(
        failed.iter().map(|(kind, n)| (kind.to_string(), *n)).next(),
        Some(("no-connection".to_owned(), 10))
    );
}
