//! Sends many requests: with a fixed number in flight, or at a fixed rate.

use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use tokio_util::task::AbortOnDropHandle;

use super::{Client, Exchange, Request};

/// A request in flight. Dropping it aborts the request, so an abandoned case leaves nothing behind.
pub type Sent = AbortOnDropHandle<Exchange>;

/// Sends requests with at most `in_flight` open at once. Returns the exchanges in the order of the requests.
pub async fn closed_loop(
    client: &Client,
    in_flight: usize,
    requests: impl Iterator<Item = Request>,
) -> Vec<Exchange> {
    stream::iter(requests)
        .map(|request| client.send(request))
        .buffered(in_flight)
        .collect()
        .await
}

/// Starts a request every `interval`, whether or not earlier ones have been answered: a slow response delays no other
/// request. Returns once all tasks are started, in the order of the requests.
pub async fn open_loop(
    client: &Client,
    interval: Duration,
    requests: impl Iterator<Item = Request>,
) -> Vec<Sent> {
    let due = requests.enumerate();
    let due = due.map(|(number, request)| (interval * number as u32, request));
    scheduled(client, Instant::now(), due).await
}

/// Starts each request at its due time, relative to `start`, in the given order.
pub async fn scheduled(
    client: &Client,
    start: Instant,
    due: impl Iterator<Item = (Duration, Request)>,
) -> Vec<Sent> {
    let mut tasks = Vec::new();
    for (after, request) in due {
        let intended = start + after;
        tokio::time::sleep_until(intended.into()).await;
        let client = client.clone();
        let exchange = async move { client.send_at(intended, request).await };
        tasks.push(AbortOnDropHandle::new(tokio::spawn(exchange)));
    }
    tasks
}
