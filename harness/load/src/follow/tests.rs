//! Servers that answer, answer badly, or not at all.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::http::HeaderMap;
use axum::routing::get;
use tokio::net::TcpListener;

use super::*;
use poolproof_client::poll;
use poolproof_model::server_metric::ServerMetric;

const INTERVAL: Duration = Duration::from_millis(20);
const WAIT: Duration = Duration::from_secs(20);

/// A server whose counter grows with each reading, and how often it was read, with a key and without.
async fn server() -> (Url, Arc<[AtomicU64; 2]>) {
    let reads = Arc::<[AtomicU64; 2]>::default();
    let counted = reads.clone();
    let page = async move |headers: HeaderMap| {
        let has_key = usize::from(headers.contains_key("authorization"));
        let read = counted[has_key].fetch_add(1, Ordering::SeqCst);
        format!("vllm:num_requests_waiting {read}\nvllm:generation_tokens_total {read}\n")
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().route("/metrics", get(page));
    tokio::spawn(async { axum::serve(listener, router).await });
    (url.parse().unwrap(), reads)
}

fn target(text: &str) -> Target {
    toml::from_str(&format!("name = 't'\nurl = 'http://127.0.0.1:9'\n{text}\n")).unwrap()
}

fn workload() -> Workload {
    Workload::load("quick-chat").unwrap().0
}

#[tokio::test(flavor = "multi_thread")]
async fn every_server_is_followed_and_one_that_does_not_answer_fails_nothing() {
    let (first, reads) = server().await;
    let (other, _) = server().await;
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone_at = gone.local_addr().unwrap();
    drop(gone);
    let target = target(&format!(
        "[[models]]\nname = 'm'\n[[models.pools]]\nname = 'p'\nepp_metrics = 'http://{gone_at}/metrics'\n\
         endpoints = [{{ name = 'a', url = '{first}' }}, {{ name = 'b' }}]\n\
         [[models]]\nname = 'unused'\npools = [{{ name = 'q', epp_metrics = '{other}' }}]\n\
         [[metrics]]\nname = 'more'\nurl = '{other}metrics'\n"
    ));
    let start = Instant::now();
    let follower = Follower::start(&target, &workload(), INTERVAL).unwrap();
    let enough = || async { (reads[0].load(Ordering::SeqCst) >= 5).then_some(()) };
    poll::until("five readings", WAIT, poll::INTERVAL, enough)
        .await
        .unwrap();
    let followed = follower.end(start).await;
    let names: Vec<(String, ServerMetric)> = followed
        .series
        .iter()
        .map(|it| (it.to_string(), it.metric))
        .collect();
    let named = |name: &str, metric| (name.to_owned(), metric);
    assert_eq!(
        names,
        [
            named("p/a", ServerMetric::Queue),
            named("p/a", ServerMetric::OutputTokens),
            named("more", ServerMetric::Queue),
            named("more", ServerMetric::OutputTokens),
        ]
    );
    let (queue, tokens) = (&followed.series[0].points, &followed.series[1].points);
    assert!(queue.len() >= 5 && tokens.len() == queue.len() - 1);
    assert!(
        queue.is_sorted_by(|a, b| a.0 <= b.0 && a.1 < b.1),
        "{queue:?}"
    );
    let unread: Vec<String> = followed
        .unread
        .iter()
        .map(|it| it.server.to_string())
        .collect();
    assert_eq!(unread, ["picker of p"]);
    assert_eq!(followed.unread[0].failed, followed.unread[0].of);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_go_to_the_addresses_of_the_target_only() {
    let (url, reads) = server().await;
    let mut target = target(&format!(
        "[[models]]\nname = 'm'\npools = [{{ name = 'p' }}]\n[[metrics]]\nurl = '{url}metrics'\n"
    ));
    target
        .access
        .set("authorization", poolproof_model::target::Secret::new("k"))
        .unwrap();
    for (gateway, with_key) in [(url.as_str(), 1), ("http://127.0.0.1:9", 0)] {
        target.url = gateway.parse().unwrap();
        let before = reads[with_key].load(Ordering::SeqCst);
        let follower = Follower::start(&target, &workload(), INTERVAL).unwrap();
        let read = || async { (reads[with_key].load(Ordering::SeqCst) > before).then_some(()) };
        poll::until("a reading", WAIT, poll::INTERVAL, read)
            .await
            .unwrap();
        let other = reads[1 - with_key].load(Ordering::SeqCst);
        follower.end(Instant::now()).await;
        assert_eq!(reads[1 - with_key].load(Ordering::SeqCst), other);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_does_not_hold_the_end_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let target = target(&format!(
        "[[models]]\nname = 'm'\npools = [{{ name = 'p' }}]\n[[metrics]]\nurl = 'http://{address}/metrics'\n"
    ));
    let follower = Follower::start(&target, &workload(), INTERVAL).unwrap();
    // It accepts and never answers.
    let _held = listener.accept().await.unwrap();
    let began = Instant::now();
    let followed = follower.end(began).await;
    assert!(began.elapsed() < LAST_TIMEOUT + Duration::from_secs(3));
    assert!(followed.series.is_empty());
    assert_eq!(followed.unread.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lone_model_server_is_followed_and_a_gateway_without_metrics_is_no_news() {
    let (url, reads) = server().await;
    let gone = "http://127.0.0.1:9".parse().unwrap();
    for (gateway, series) in [(url, 2), (gone, 0)] {
        let mut target = target("[[models]]\nname = 'm'\npools = [{ name = 'p' }]");
        target.url = gateway;
        let start = Instant::now();
        let follower = Follower::start(&target, &workload(), INTERVAL).unwrap();
        let enough = || async { (reads[0].load(Ordering::SeqCst) >= 3).then_some(()) };
        poll::until("three readings", WAIT, poll::INTERVAL, enough)
            .await
            .unwrap();
        let followed = follower.end(start).await;
        assert_eq!((followed.series.len(), followed.unread.len()), (series, 0));
    }
}
