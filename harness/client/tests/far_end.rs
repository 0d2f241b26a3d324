//! Requests as a model server sees them: what arrived, and what it logged for a client that left.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use poolproof_client::evidence::control::{self, Outcome};
use poolproof_client::{Api, Client, Connections, Ending, Leave, Method, Request, payload, poll};
use poolproof_fixtures::model_server::{Config, ModelServer, Settings};
use poolproof_model::target::Endpoint;
use serde_json::json;

async fn server() -> (ModelServer, Endpoint, Client) {
    let config = Config {
        listen: ([127, 0, 0, 1], 0).into(),
        name: "a".to_owned(),
        namespace: "n".to_owned(),
        models: vec!["m".to_owned()],
        adapters: Vec::new(),
        settings: Settings::default(),
    };
    let server = ModelServer::start(config).await.unwrap();
    let url: url::Url = format!("http://{}/", server.address()).parse().unwrap();
    let endpoint = Endpoint {
        name: "a".to_owned(),
        control: Some(url.join("/poolproof").unwrap()),
        url: Some(url.clone()),
    };
    let client = Client::new("test", &url, Connections::KeepAlive, Default::default()).unwrap();
    (server, endpoint, client)
}

fn stream(tokens: u32) -> Request {
    let mut body = payload(Api::Chat, "m".into(), "prompt", tokens);
    body["stream"] = json!(true);
    Request::from_json(Api::Chat, &body)
}

#[tokio::test]
async fn a_client_that_leaves_a_stream_is_logged_as_aborted() {
    let (_server, endpoint, client) = server().await;
    let left = client.send(stream(20_000).leaving(Leave::AtFrame(3))).await;
    assert_eq!((left.status, &left.ending), (Some(200), &Ending::Left));
    assert!(left.frames.len() >= 3 && !left.is_success());
    let after = stream(20_000).leaving(Leave::After(Duration::from_millis(20)));
    assert_eq!(client.send(after).await.ending, Ending::Left);

    let http = poolproof_client::http(0).unwrap();
    let aborted = poll::until(
        "both are logged",
        Duration::from_secs(5),
        poll::INTERVAL,
        || async {
            let log = control::requests(&http, &endpoint).await.ok()?;
            let aborted = log
                .iter()
                .filter(|it| it.outcome == Outcome::Aborted)
                .count();
            (aborted == 2).then_some(())
        },
    );
    aborted.await.unwrap();
}

#[tokio::test]
async fn what_arrived_is_found_by_the_client_that_sent_it() {
    let (_server, endpoint, client) = server().await;
    let request = Request::from_bytes(
        Api::Completions,
        r#"{"model":"m","prompt":"p","n":9007199254740993}"#,
    );
    let sent = client
        .send(request.at("/v1/completions?x=1").header("x-note", "1"))
        .await;
    assert_eq!(sent.status, Some(200));

    let http = poolproof_client::http(0).unwrap();
    let arrived = control::received(&http, &endpoint, client.id_prefix())
        .await
        .unwrap();
    assert_eq!(arrived.len(), 1);
    assert_eq!(
        (&*arrived[0].id, &*arrived[0].path),
        (&*sent.id, "/v1/completions?x=1")
    );
    assert!(
        arrived[0]
            .headers
            .contains(&("x-note".to_owned(), "1".to_owned()))
    );
    assert!(
        arrived[0]
            .body
            .as_ref()
            .unwrap()
            .contains("9007199254740993")
    );
    let none = control::received(&http, &endpoint, "nobody").await.unwrap();
    assert!(none.is_empty());
}

#[tokio::test]
async fn a_request_chooses_the_fault_of_its_answer() {
    let (_server, _, client) = server().await;
    let refused = client
        .send(stream(5).header("x-poolproof-answer", "status-429, retry-after-7"))
        .await;
    assert_eq!(
        (refused.status, refused.header("retry-after")),
        (Some(429), Some("7"))
    );
    let cut = client
        .send(stream(50).header("x-poolproof-answer", "cut-after-5"))
        .await;
    assert!(matches!(cut.ending, Ending::Cut(_)), "{:?}", cut.ending);
    assert!(client.send(stream(5)).await.is_success());
}

#[tokio::test]
async fn a_request_without_a_body_has_no_content_type() {
    let (_server, _, client) = server().await;
    let models = client.send(Request::to(Method::GET, "/v1/models")).await;
    assert_eq!(models.status, Some(200));
}
