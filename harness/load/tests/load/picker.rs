//! Load on an endpoint picker by itself: the stand-in, one without endpoints, and a server that is no picker.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use poolproof_fixtures::epp::{Config, Endpoint, EndpointPicker};
use poolproof_fixtures::model_server::{Config as ServerConfig, ModelServer, Settings};
use poolproof_load::picker::{self, Asked, Load, Picks, Prompt};
use tokio_util::sync::CancellationToken;

use super::server::{Act, Server};

const LIMIT: Duration = Duration::from_secs(20);

async fn model_server() -> ModelServer {
    let config = ServerConfig {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        name: "e-0".to_owned(),
        namespace: "default".to_owned(),
        models: vec!["m".to_owned()],
        adapters: Vec::new(),
        settings: Settings::default(),
    };
    ModelServer::start(config).await.unwrap()
}

/// A picker of `endpoints` endpoints, which are all the same server.
async fn start(server: &ModelServer, endpoints: usize) -> EndpointPicker {
    let endpoints = (0..endpoints).map(|number| Endpoint {
        name: format!("e-{number}"),
        address: server.address(),
        host: None,
    });
    let config = Config::new("p", endpoints.collect());
    let picker = EndpointPicker::start(config).await.unwrap();
    picker.ready(LIMIT).await.unwrap();
    picker
}

fn asked(address: SocketAddr, tokens: usize, load: Load) -> Asked {
    Asked {
        authority: address.to_string(),
        process: Some(std::process::id()),
        prompt: Prompt::new("m", tokens),
        load,
        warm_up: Duration::from_millis(50),
        counted: Duration::from_millis(300),
        timeout: LIMIT,
    }
}

async fn ask(asked: &Asked) -> Picks {
    let picks = picker::ask(asked, &CancellationToken::new()).await;
    picks.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn picks_of_short_and_long_prompts_are_counted_with_latency_and_processor_time() {
    let server = model_server().await;
    let picker = start(&server, 3).await;
    // 64,000 tokens are four pieces of a body.
    for tokens in [100, 64_000] {
        let picks = ask(&asked(picker.address(), tokens, Load::Streams(4))).await;
        assert!(picks.picks > 0 && picks.failed.is_empty(), "{picks:?}");
        assert!(picks.picks_per_s > 0.0, "{picks:?}");
        assert!(
            picks.picker_cpu_us_per_pick.is_some_and(|us| us > 0.0),
            "{picks:?}"
        );
        let (low, high) = picks.picks_per_s_interval.unwrap();
        assert!(
            low <= picks.picks_per_s && picks.picks_per_s <= high,
            "{picks:?}"
        );
        let values = &picks.latency.as_ref().unwrap().histogram_us;
        let all: u64 = values.iter().map(|(_, count)| count).sum();
        assert_eq!(all, picks.picks);
    }
    let picks = ask(&asked(picker.address(), 100, Load::Rate(200.0))).await;
    // Those that were due within the counted time, and no other.
    assert_eq!((picks.picks, picks.failed.len()), (60, 0), "{picks:?}");
    let p50 = picks.latency.as_ref().unwrap().percentile_ms(50.0).unwrap();
    assert!(p50.is_some_and(|ms| ms > 0.0), "{picks:?}");
    picker.stop().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picker_that_names_no_endpoint_fails_every_pick_by_its_reason() {
    let server = model_server().await;
    let picker = start(&server, 1).await;
    picker.set_member("e-0", false).unwrap();
    let without_warm_up = Asked {
        warm_up: Duration::ZERO,
        ..asked(picker.address(), 10, Load::Streams(1))
    };
    let picks = ask(&without_warm_up).await;
    assert!(picks.picks == 0 && picks.latency.is_none(), "{picks:?}");
    let reasons: BTreeMap<_, _> = picks.failed;
    assert!(reasons.contains_key("refused with 503"), "{reasons:?}");
    let with_warm_up = asked(picker.address(), 10, Load::Streams(1));
    let refused = picker::ask(&with_warm_up, &CancellationToken::new()).await;
    let message = refused.unwrap_err().to_string();
    assert!(
        message.contains("did not pick for the first request"),
        "{message}"
    );
    picker.stop().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_no_picker_is_refused_with_its_address() {
    let web =
        Server::start(|_| Act::Send("HTTP/1.1 400 X\r\ncontent-length: 0\r\n\r\n".to_owned()));
    let web = web.await;
    let short = Asked {
        timeout: Duration::from_millis(500),
        ..asked(web.address, 10, Load::Streams(1))
    };
    let refused = picker::ask(&short, &CancellationToken::new()).await;
    let message = format!("{:#}", refused.unwrap_err());
    assert!(message.contains(&web.address.to_string()), "{message}");
}
