//! How the requests of cases are addressed, authorised, encrypted and decoded.

#![allow(clippy::unwrap_used)]

#[path = "../../load/tests/load/certificates.rs"]
mod certificates;
#[path = "../../load/tests/load/front.rs"]
mod front;
#[path = "../../load/tests/load/proxy.rs"]
mod proxy;

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::Full;
use poolproof_client::raw::speaks_http2;
use poolproof_client::ready::{first, until_served};
use poolproof_client::{
    Api, Client, Connections, Ending, Exchange, Request, http_of, nonce, payload,
};
use poolproof_model::target::Target;
use serde_json::json;

use certificates::{made, server_config};
use front::{Answer, Front, Seen, stream_of};
use proxy::proxy;

const BOTH: [Connections; 2] = [Connections::KeepAlive, Connections::Http2];
const STREAM: &str = "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

fn target(keys: &str) -> Target {
    let text = format!(
        "name = 't'\n{keys}\n[[models]]\nname = 'm'\n[[models.pools]]\nname = 'p'\nweight = 1\n\
         [[models.pools.endpoints]]\nname = 'e'\nurl = 'http://user:word@127.0.0.1:9'"
    );
    let mut target: Target = toml::from_str(&text).unwrap();
    target.resolve(Path::new("")).unwrap();
    target
}

fn answers(_: &Seen) -> Answer {
    stream_of(STREAM)
}

fn request() -> Request {
    let mut body = payload(Api::Chat, "m".into(), &nonce(&mut rand::rng()), 3);
    body["stream"] = true.into();
    body["stream_options"] = json!({"include_usage": true});
    Request::from_json(Api::Chat, &body).timeout(Duration::from_secs(10))
}

async fn send(target: &Target, connections: Connections, request: Request) -> Exchange {
    let (url, tally) = (&target.url, Arc::default());
    let client = Client::of(target, url, "test", connections, tally).unwrap();
    client.send(request).await
}

#[tokio::test]
async fn a_request_is_addressed_and_authorised_as_the_target_says() {
    let path = std::env::var("PATH").unwrap();
    let bearer = format!("Bearer {path}");
    for connections in BOTH {
        let front = Front::start(None, answers).await;
        let target = target(&format!(
            "url = 'http://{}/a/v1?k=v'\napi_key = {{ env = 'PATH' }}\nheaders = {{ host = 'models.test', x = '1' }}\n\
             [parameters]\nmax_tokens = 'max_completion_tokens'\nignore_eos = false\nstream_options = false\n",
            front.address
        ));
        let exchange = send(&target, connections, request()).await;
        assert!(exchange.is_success(), "{}", exchange.describe());
        let seen = front.seen().remove(0);
        assert_eq!(seen.path(), "/a/v1/chat/completions?k=v");
        assert_eq!(seen.host(), "models.test");
        assert_eq!(seen.header("authorization"), bearer);
        assert_eq!(
            (seen.header("x"), seen.header("accept-encoding")),
            ("1".to_owned(), "identity".to_owned())
        );
        let mut keys: Vec<&String> = seen.body.as_object().unwrap().keys().collect();
        keys.sort();
        assert_eq!(
            keys,
            ["max_completion_tokens", "messages", "model", "stream"]
        );
        // What a case sets itself is sent as it is, and bytes are never changed.
        let own = Request::from_bytes(Api::Chat, "{\"max_tokens\":1}").header("x", "2");
        send(&target, connections, own.header("authorization", "none")).await;
        let seen = front.seen().remove(1);
        assert_eq!(
            (seen.header("x"), seen.header("authorization")),
            ("2".to_owned(), "none".to_owned())
        );
        assert_eq!(seen.body, json!({"max_tokens": 1}));
    }
}

#[tokio::test]
async fn parts_behind_the_gateway_get_the_key_and_not_its_host() {
    let front = Front::start(None, answers).await;
    let target = target("url = 'http://gateway.test'\nheaders = { host = 'models.test', x = '1' }");
    let http = http_of(&target, 0).unwrap();
    let url = format!("http://user:word@{}/metrics", front.address);
    http.get(url).send().await.unwrap();
    let seen = front.seen().remove(0);
    assert_eq!(
        (seen.host(), seen.header("x")),
        (front.address.to_string(), "1".to_owned())
    );
    assert_eq!(seen.header("authorization"), "Basic dXNlcjp3b3Jk");
}

#[tokio::test]
async fn servers_are_trusted_by_the_certificates_of_the_target() {
    let (made, other) = (made(), certificates::made());
    let ca = made.file("ca.pem", &made.ca_pem);
    let own = made.file("self.pem", &made.self_signed.0);
    let wrong = made.file("wrong.pem", &other.self_signed.0);
    let pair = format!("{}\n{}", made.issued.0, made.issued.1.serialize_pem());
    let pair = made.file("pair.pem", &pair);
    for connections in BOTH {
        for (server, clients, tls, host, good) in [
            (
                &made.issued,
                None,
                format!("ca = '{ca}'"),
                "127.0.0.1",
                true,
            ),
            (
                &made.issued,
                None,
                format!("ca = '{ca}'"),
                "localhost",
                false,
            ),
            (
                &made.issued,
                None,
                format!("ca = '{ca}', server_name = 'models.test'"),
                "127.0.0.1",
                true,
            ),
            (
                &made.self_signed,
                None,
                format!("ca = '{own}'"),
                "127.0.0.1",
                true,
            ),
            (
                &made.self_signed,
                None,
                format!("ca = '{wrong}'"),
                "127.0.0.1",
                false,
            ),
            (
                &made.self_signed,
                None,
                "insecure = true".to_owned(),
                "localhost",
                true,
            ),
            (
                &made.issued,
                Some(&made.ca_pem),
                format!("ca = '{ca}'"),
                "127.0.0.1",
                false,
            ),
            (
                &made.issued,
                Some(&made.ca_pem),
                format!("ca = '{ca}', client_certificate = '{pair}'"),
                "127.0.0.1",
                true,
            ),
        ] {
            let config = server_config(server, clients.map(String::as_str));
            let front = Front::start(Some(config), answers).await;
            let url = format!("https://{host}:{}", front.address.port());
            let target = target(&format!("url = '{url}'\ntls = {{ {tls} }}"));
            let exchange = send(&target, connections, request()).await;
            assert_eq!(
                exchange.is_success(),
                good,
                "{connections:?} {tls}: {}",
                exchange.describe()
            );
            if connections == Connections::Http2 && clients.is_none() {
                let limit = Duration::from_secs(5);
                let speaks = speaks_http2(&target, limit).await;
                assert_eq!(speaks.unwrap_or(false), good, "{tls}");
            }
            let expecting = Client::of(&target, &target.url, "t", connections, Arc::default());
            let client = expecting.unwrap();
            let expected = client.send_expecting(request(), Duration::from_millis(50));
            assert_eq!(expected.await.exchange.status.is_some(), good, "{tls}");
        }
    }
}

#[tokio::test]
async fn a_body_that_is_compressed_unasked_is_decoded_unless_a_case_asks_for_it() {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(STREAM.as_bytes()).unwrap();
    let compressed = encoder.finish().unwrap();
    let body = compressed.clone();
    let answer = move |_: &Seen| {
        http::Response::builder()
            .header("content-type", "text/event-stream")
            .header("content-encoding", "gzip")
            .body(Full::new(Bytes::from(body.clone())))
            .unwrap()
    };
    let front = Front::start(None, answer).await;
    let target = target(&format!("url = 'http://{}'", front.address));
    for connections in BOTH {
        let exchange = send(&target, connections, request()).await;
        assert!(exchange.is_success(), "{}", exchange.describe());
        assert_eq!(exchange.body, STREAM.as_bytes());
        let asked = request().header("accept-encoding", "gzip");
        assert_eq!(send(&target, connections, asked).await.body, compressed);
    }
    let plain = Front::start(None, |_: &Seen| {
        let mut answer = stream_of(STREAM);
        let coding = http::HeaderValue::from_static("gzip");
        answer.headers_mut().insert("content-encoding", coding);
        answer
    });
    let target = crate::target(&format!("url = 'http://{}'", plain.await.address));
    let exchange = send(&target, Connections::KeepAlive, request()).await;
    assert!(
        matches!(exchange.ending, Ending::Cut(_)),
        "{:?}",
        exchange.ending
    );
}

#[tokio::test]
async fn a_wait_ends_when_the_model_is_served_or_the_key_is_refused() {
    let loading = |_: &Seen| {
        http::Response::builder()
            .status(503)
            .body(Full::from("{\"error\":\"loading\"}"))
            .unwrap()
    };
    let front = Front::start(None, move |seen| {
        if seen.number < 2 {
            loading(seen)
        } else {
            answers(seen)
        }
    })
    .await;
    let served = target(&format!("url = 'http://{}'", front.address));
    let mut printed = Vec::new();
    let limit = Duration::from_secs(30);
    until_served(&served, limit, |line| printed.push(line.to_owned()))
        .await
        .unwrap();
    // The same answer twice is printed once.
    assert_eq!(printed.len(), 1, "{printed:?}");
    assert!(
        printed[0].contains("503")
            && printed[0].contains("\"m\"")
            && printed[0].contains("loading"),
        "{printed:?}"
    );

    let front = Front::start(None, loading).await;
    let never = target(&format!("url = 'http://{}'", front.address));
    let error = until_served(&never, Duration::from_millis(900), |_| {})
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("not served within 900ms"),
        "{error}"
    );

    let refuses = |_: &Seen| {
        http::Response::builder()
            .status(401)
            .body(Full::default())
            .unwrap()
    };
    let front = Front::start(None, refuses).await;
    let refused = target(&format!("url = 'http://{}'", front.address));
    let error = until_served(&refused, limit, |_| {}).await.unwrap_err();
    assert!(error.to_string().contains("401"), "{error}");
}

#[tokio::test]
async fn the_first_request_falls_back_to_chat_and_does_not_wait_for_long() {
    let only_chat = |seen: &Seen| match seen.path().as_str() {
        "/v1/chat/completions" => stream_of(STREAM),
        _ => http::Response::builder()
            .status(404)
            .body(Full::default())
            .unwrap(),
    };
    let front = Front::start(None, only_chat).await;
    let exchange = first(&target(&format!("url = 'http://{}'", front.address))).await;
    assert_eq!(exchange.unwrap().unwrap().status, Some(200));
    assert_eq!(front.seen().len(), 2);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = target(&format!(
        "url = 'http://{}'",
        listener.local_addr().unwrap()
    ));
    let began = std::time::Instant::now();
    let exchange = first(&silent).await.unwrap().unwrap();
    assert_eq!(exchange.ending, Ending::TimedOut);
    assert!(began.elapsed() < Duration::from_secs(8));
}

#[tokio::test]
async fn a_proxy_forwards_http_and_tunnels_https() {
    let made = made();
    let ca = made.file("ca.pem", &made.ca_pem);
    for (scheme, line) in [
        (
            "http",
            "POST http://ADDRESS/v1/chat/completions HTTP/1.1\r\n",
        ),
        ("https", "CONNECT ADDRESS HTTP/1.1\r\n"),
    ] {
        let tls = (scheme == "https").then(|| server_config(&made.issued, None));
        let front = Front::start(tls, answers).await;
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
        let (proxy, heads) = proxy(answer.to_owned()).await;
        let target = target(&format!(
            "url = '{scheme}://{}'\nproxy = 'http://u:p@{proxy}'\ntls = {{ ca = '{ca}' }}",
            front.address
        ));
        let exchange = send(&target, Connections::KeepAlive, request()).await;
        assert!(exchange.is_success(), "{scheme}: {}", exchange.describe());
        let client = Client::of(
            &target,
            &target.url,
            "t",
            Connections::KeepAlive,
            Arc::default(),
        );
        let client = client.unwrap();
        let expected = client.send_expecting(request(), Duration::from_millis(50));
        assert_eq!(expected.await.exchange.status, Some(200), "{scheme}");
        let heads = heads.lock().unwrap();
        let line = line.replace("ADDRESS", &front.address.to_string());
        assert_eq!(heads.len(), 2);
        for head in heads.iter() {
            assert!(head.starts_with(&line), "{head}");
            let login = "proxy-authorization: basic dtpw\r\n";
            assert!(head.to_lowercase().contains(login), "{head}");
        }
        let through = usize::from(scheme == "https") * 2;
        assert_eq!(front.seen().len(), through);
    }
}
