//! How requests are addressed, authorised, encrypted and transported, over both versions of HTTP.

use std::io::Write;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use flate2::Compression;
use http_body_util::Full;
use poolproof_load::engine::{self, Job, Measured, Part, Sender, Snapshot};
use poolproof_model::target::Target;
use poolproof_model::workload::Workload;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::certificates::{made, server_config};
use crate::frames::{Frames, Way};
use crate::front::{Answer, Front, Seen, stream_of};
use crate::server::{Act, Server};
use crate::{all, end, good, hundred_a_second, token};

const BOTH: [&str; 2] = ["1.1", "2"];

/// A target, from the keys of its file before the models.
fn target(keys: &str) -> Target {
    let text = format!(
        "name = 't'\n{keys}\n[[models]]\nname = 'm'\n[[models.pools]]\nname = 'p'\nweight = 1"
    );
    let mut target: Target = toml::from_str(&text).unwrap();
    target.resolve(Path::new("")).unwrap();
    target
}

async fn send_to(target: &Target, workload: &str) -> Measured {
    let workload: Workload = toml::from_str(workload).unwrap();
    workload.check().unwrap();
    let sender = Sender {
        urls: std::slice::from_ref(&target.url),
        headers: &[],
        sources: &[],
        vocabulary: None,
        threads: 1,
        seed: 1,
        part: Part::whole(),
    };
    let job = Job::new(workload, None, target, sender).await.unwrap();
    let stop = CancellationToken::new();
    engine::run(job, &stop, &mut |_: &Snapshot| {})
        .await
        .unwrap()
}

/// Ten requests of this version of HTTP.
async fn ten(target: &Target, http: &str, more: &str) -> Measured {
    send_to(
        target,
        &hundred_a_second(0.1, &format!("http = '{http}'\n{more}")),
    )
    .await
}

fn frames() -> String {
    token("a ") + &token("b ") + &token("c ") + &end(3)
}

fn answers(_: &Seen) -> Answer {
    stream_of(&frames())
}

fn failures(measured: &Measured) -> Vec<(String, u64)> {
    let failed = all(measured).failed;
    failed
        .iter()
        .map(|(kind, n)| (kind.to_string(), *n))
        .collect()
}

fn details(measured: &Measured) -> String {
    let examples = measured.recorder.examples.iter();
    let details: Vec<&str> = examples.map(|example| example.detail.as_str()).collect();
    details.join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_addressed_and_authorised_as_the_target_says() {
    let path = std::env::var("PATH").unwrap();
    let bearer = format!("Bearer {path}");
    for http in BOTH {
        // The url behind the host and the other keys, then the path, and headers with their values.
        for (rest, keys, path, headers) in [
            (
                "",
                "",
                "/v1/chat/completions",
                vec![("accept-encoding", "identity")],
            ),
            (
                "/v1",
                "",
                "/v1/chat/completions",
                vec![("authorization", "")],
            ),
            ("/a/v1/?k=v", "", "/a/v1/chat/completions?k=v", vec![]),
            (
                "/openai/deployments/x?api-version=1",
                "api_key = { env = 'PATH', header = 'api-key' }",
                "/openai/deployments/x/chat/completions?api-version=1",
                vec![("api-key", path.as_str())],
            ),
            (
                "/v9?k=v",
                "paths = { chat = '/talk' }\napi_key = { env = 'PATH' }",
                "/v9/talk?k=v",
                vec![("authorization", bearer.as_str())],
            ),
            (
                "",
                "headers = { Host = 'models.test', content-type = 'application/x', x = '1', Accept-Encoding = 'gzip' }",
                "/v1/chat/completions",
                vec![
                    ("content-type", "application/x"),
                    ("x", "1"),
                    ("accept-encoding", "gzip"),
                ],
            ),
        ] {
            let front = Front::start(None, answers).await;
            let target = target(&format!("url = 'http://{}{rest}'\n{keys}", front.address));
            let measured = ten(&target, http, "").await;
            assert_eq!(
                all(&measured).answered,
                10,
                "{http} {rest}: {}",
                details(&measured)
            );
            for seen in front.seen() {
                assert_eq!(seen.path(), path, "{http}");
                let host = match keys.contains("models.test") {
                    true => "models.test".to_owned(),
                    false => front.address.to_string(),
                };
                assert_eq!(seen.host(), host, "{http}");
                for (name, value) in &headers {
                    assert_eq!(seen.header(name), *value, "{http} {rest} {name}");
                }
            }
        }
        let front = Front::start(None, answers).await;
        let target = target(&format!("url = 'http://me:p%40ss@{}'", front.address));
        assert_eq!(all(&ten(&target, http, "").await).answered, 10);
        assert_eq!(
            front.seen()[0].header("authorization"),
            "Basic bWU6cEBzcw=="
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_are_those_of_the_target_and_of_the_workload() {
    for http in BOTH {
        let front = Front::start(None, answers).await;
        let target = target(&format!(
            "url = 'http://{}'\n[parameters]\nmax_tokens = 'max_completion_tokens'\nignore_eos = false\nmore = {{ temperature = 0 }}",
            front.address
        ));
        let measured = ten(&target, http, "parameters = { stream_options = false }").await;
        assert_eq!(all(&measured).answered, 10);
        let body = &front.seen()[0].body;
        let mut keys: Vec<&String> = body.as_object().unwrap().keys().collect();
        keys.sort();
        assert_eq!(
            keys,
            [
                "max_completion_tokens",
                "messages",
                "model",
                "stream",
                "temperature"
            ]
        );
        assert_eq!(body["max_completion_tokens"], 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_trusted_by_the_certificates_of_the_target() {
    let made = made();
    let other = crate::certificates::made();
    let ca = made.file("ca.pem", &made.ca_pem);
    let wrong = made.file("other.pem", &other.ca_pem);
    let own = made.file("self.pem", &made.self_signed.0);
    let own_of_others = made.file("other-self.pem", &other.self_signed.0);
    let (issued, self_signed) = (&made.issued, &made.self_signed);
    for http in BOTH {
        for (server, tls, host, good) in [
            (issued, format!("ca = '{ca}'"), "127.0.0.1", true),
            (issued, format!("ca = '{ca}'"), "localhost", false),
            (
                issued,
                format!("ca = '{ca}', server_name = 'models.test'"),
                "localhost",
                true,
            ),
            (issued, format!("ca = '{wrong}'"), "127.0.0.1", false),
            (issued, "insecure = true".to_owned(), "localhost", true),
            (self_signed, format!("ca = '{own}'"), "127.0.0.1", true),
            (
                self_signed,
                format!("ca = '{own_of_others}'"),
                "127.0.0.1",
                false,
            ),
            (self_signed, "insecure = true".to_owned(), "127.0.0.1", true),
        ] {
            let front = Front::start(Some(server_config(server, None)), answers).await;
            let port = front.address.port();
            let target = target(&format!("url = 'https://{host}:{port}'\ntls = {{ {tls} }}"));
            let measured = ten(&target, http, "").await;
            let answered = if good { 10 } else { 0 };
            assert_eq!(
                all(&measured).answered,
                answered,
                "{http} {tls}: {}",
                details(&measured)
            );
        }
        // The name in `host` is asked for, if no other is named.
        let front = Front::start(Some(server_config(issued, None)), answers).await;
        let target = target(&format!(
            "url = 'https://localhost:{}'\ntls = {{ ca = '{ca}' }}\nheaders = {{ host = 'models.test' }}",
            front.address.port()
        ));
        assert_eq!(all(&ten(&target, http, "").await).answered, 10, "{http}");
        assert_eq!(front.seen()[0].host(), "models.test");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_presents_its_certificate() {
    let made = made();
    let ca = made.file("ca.pem", &made.ca_pem);
    let (certificate, key) = &made.issued;
    let pair = made.file(
        "pair.pem",
        &format!("{certificate}\n{}", key.serialize_pem()),
    );
    let alone = made.file("certificate.pem", certificate);
    let key = made.file("key.pem", &key.serialize_pem());
    for http in BOTH {
        for (tls, answered) in [
            (format!("client_certificate = '{pair}'"), 10),
            (
                format!("client_certificate = '{alone}', client_key = '{key}'"),
                10,
            ),
            ("insecure = false".to_owned(), 0),
        ] {
            let config = server_config(&made.issued, Some(&made.ca_pem));
            let front = Front::start(Some(config), answers).await;
            let target = target(&format!(
                "url = 'https://{}'\ntls = {{ ca = '{ca}', {tls} }}",
                front.address
            ));
            assert_eq!(
                all(&ten(&target, http, "").await).answered,
                answered,
                "{http} {tls}"
            );
        }
    }
}

/// A proxy that connects, and answers requests that it should forward itself. Returns its address and the heads that it got.
async fn proxy() -> (std::net::SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let heads = Arc::<Mutex<Vec<String>>>::default();
    let seen = heads.clone();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let seen = seen.clone();
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
                    None => stream.write_all(good().as_bytes()).await.unwrap(),
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

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_forwards_http_and_tunnels_the_rest() {
    let made = made();
    let ca = made.file("ca.pem", &made.ca_pem);
    for (http, scheme, line) in [
        (
            "1.1",
            "http",
            "POST http://ADDRESS/v1/chat/completions HTTP/1.1\r\n",
        ),
        ("1.1", "https", "CONNECT ADDRESS HTTP/1.1\r\n"),
        ("2", "https", "CONNECT ADDRESS HTTP/1.1\r\n"),
        ("2", "http", "CONNECT ADDRESS HTTP/1.1\r\n"),
    ] {
        let tls = (scheme == "https").then(|| server_config(&made.issued, None));
        let front = Front::start(tls, answers).await;
        let (proxy, heads) = proxy().await;
        let target = target(&format!(
            "url = '{scheme}://{}'\nproxy = 'http://u:p@{proxy}'\ntls = {{ ca = '{ca}' }}",
            front.address
        ));
        let measured = ten(&target, http, "new_connections = true").await;
        assert_eq!(
            all(&measured).answered,
            10,
            "{http} {scheme}: {}",
            details(&measured)
        );
        let heads = heads.lock().unwrap();
        assert_eq!(heads.len(), 10);
        let line = line.replace("ADDRESS", &front.address.to_string());
        assert!(heads[0].starts_with(&line), "{}", heads[0]);
        assert!(
            heads[0].contains("proxy-authorization: Basic dTpw\r\n"),
            "{}",
            heads[0]
        );
        let forwarded = line.starts_with("POST");
        assert_eq!(front.seen().len(), if forwarded { 0 } else { 10 });
        let of_server = front
            .seen()
            .iter()
            .any(|seen| !seen.header("proxy-authorization").is_empty());
        assert!(!of_server);
    }
}

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
                stream.read(&mut bytes).await.unwrap();
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
