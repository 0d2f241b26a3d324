//! How requests are addressed, authorised, encrypted and transported, over both versions of HTTP.

use std::path::Path;

use poolproof_load::engine::{self, Job, Measured, Part, Sender, Snapshot};
use poolproof_model::target::Target;
use poolproof_model::workload::Workload;
use tokio_util::sync::CancellationToken;

use crate::certificates::{made, server_config};
use crate::front::{Answer, Front, Seen, stream_of};
use crate::proxy::proxy;
use crate::{all, end, good, hundred_a_second, token};

/// The versions of HTTP.
pub const BOTH: [&str; 2] = ["1.1", "2"];

/// A target, from the keys of its file before the models.
pub fn target(keys: &str) -> Target {
    let text = format!(
        "name = 't'\n{keys}\n[[models]]\nname = 'm'\n[[models.pools]]\nname = 'p'\nweight = 1"
    );
    let mut target: Target = toml::from_str(&text).unwrap();
    target.resolve(Path::new("")).unwrap();
    target
}

/// Sends a workload to a target, from one thread.
pub async fn send_to(target: &Target, workload: &str) -> Measured {
    let workload: Workload = toml::from_str(workload).unwrap();
    workload.check().unwrap();
    let sender = Sender {
        urls: std::slice::from_ref(&target.url),
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
pub async fn ten(target: &Target, http: &str, more: &str) -> Measured {
    send_to(
        target,
        &hundred_a_second(0.1, &format!("http = '{http}'\n{more}")),
    )
    .await
}

/// The frames of a good stream.
pub fn frames() -> String {
    token("a ") + &token("b ") + &token("c ") + &end(3)
}

fn answers(_: &Seen) -> Answer {
    stream_of(&frames())
}

/// The failures by kind.
pub fn failures(measured: &Measured) -> Vec<(String, u64)> {
    let failed = all(measured).failed;
    failed
        .iter()
        .map(|(kind, n)| (kind.to_string(), *n))
        .collect()
}

/// The details of the examples of failures.
pub fn details(measured: &Measured) -> String {
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
        let (proxy, heads) = proxy(good()).await;
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
