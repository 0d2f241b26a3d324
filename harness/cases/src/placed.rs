//! The withdrawal of ballast: waits until endpoints are idle again.

use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use futures_util::future::join_all;

use poolproof_client::evidence::control;
use poolproof_client::evidence::endpoint::{self, Reading};
use poolproof_client::lock::lock;
use poolproof_client::poll;
use poolproof_model::target::Endpoint;

/// Waits until no request runs or waits at an endpoint. The error contains the endpoint's name and its last counts.
pub async fn wait_until_idle(
    http: &reqwest::Client,
    endpoint: &Endpoint,
    timeout: Duration,
) -> Result<()> {
    let last = Mutex::new("it was not read".to_owned());
    let what = format!("endpoint {} is idle", endpoint.name);
    let idle = poll::until(what, timeout, poll::INTERVAL, || async {
        let read = endpoint::read(http, endpoint).await;
        if let Ok(reading) = &read
            && reading.waiting + reading.running == 0.0
        {
            return Some(());
        }
        *lock(&last) = counts(&read);
        None
    });
    idle.await.with_context(|| lock(&last).clone())
}

/// Ballast placed by the cases of a run that is not yet confirmed to be gone.
#[derive(Debug, Default)]
pub(crate) struct Placed(Mutex<Vec<Endpoint>>);

impl Placed {
    pub(super) fn add(&self, endpoint: &Endpoint) {
        let mut placed = lock(&self.0);
        if !placed.iter().any(|other| other.name == endpoint.name) {
            placed.push(endpoint.clone());
        }
    }

    /// Waits until every endpoint that had ballast is idle. Endpoints that are not idle after `timeout` stay on the
    /// list. The error contains their names and counts.
    pub(crate) async fn gone(&self, http: &reqwest::Client, timeout: Duration) -> Result<()> {
        let placed = lock(&self.0).clone();
        let waits = placed
            .iter()
            .map(|endpoint| withdrawn(http, endpoint, timeout));
        let left = join_all(waits).await;
        let left = placed
            .into_iter()
            .zip(left)
            .filter_map(|(endpoint, left)| Some((endpoint, left.err()?)));
        let (left, counts): (Vec<Endpoint>, Vec<String>) = left
            .map(|(endpoint, error)| (endpoint, format!("{error:#}")))
            .unzip();
        *lock(&self.0) = left;
        ensure!(counts.is_empty(), "{}", counts.join("; "));
        Ok(())
    }
}

/// Waits until an endpoint is idle. Prefers its control API, because a case may have made the metrics lie.
async fn withdrawn(http: &reqwest::Client, endpoint: &Endpoint, timeout: Duration) -> Result<()> {
    if endpoint.control.is_none() {
        return wait_until_idle(http, endpoint, timeout).await;
    }
    let what = format!("endpoint {} is idle", endpoint.name);
    let idle = poll::until(what, timeout, poll::INTERVAL, || async {
        let state = control::state(http, endpoint).await.ok()?;
        (state.waiting + state.running == 0).then_some(())
    });
    match idle.await {
        Ok(()) => Ok(()),
        Err(timed_out) => {
            let read = control::state(http, endpoint).await;
            let read = read.map(|state| Reading {
                waiting: state.waiting as f64,
                running: state.running as f64,
                ..Reading::default()
            });
            bail!("{timed_out}: {}", counts(&read))
        }
    }
}

/// The counts of an endpoint, for messages.
fn counts(read: &Result<Reading>) -> String {
    match read {
        Ok(reading) => format!("{} running, {} waiting", reading.running, reading.waiting),
        Err(error) => format!("{error:#}"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use axum::Router;
    use axum::routing::get;

    use super::*;
    use crate::ballast::tests::endpoint;

    #[tokio::test]
    async fn ballast_that_stays_is_named_with_its_counts_until_it_is_gone() {
        let running = Arc::new(AtomicU64::new(8));
        let shown = running.clone();
        let metrics = move || async move {
            let running = shown.load(Ordering::SeqCst);
            format!(
                "vllm:num_requests_waiting {}\nvllm:num_requests_running {running}\n",
                running * 3
            )
        };
        let (endpoint, _serving) = endpoint(Router::new().route("/metrics", get(metrics))).await;
        let (http, placed) = (poolproof_client::http(1).unwrap(), Placed::default());
        placed.add(&endpoint);
        for _ in 0..2 {
            let left = placed.gone(&http, Duration::from_millis(100)).await;
            let message = left.unwrap_err().to_string();
            assert!(
                message.contains("pod-0") && message.contains("8 running, 24 waiting"),
                "{message}"
            );
        }
        running.store(0, Ordering::SeqCst);
        placed.gone(&http, Duration::from_secs(5)).await.unwrap();
        running.store(1, Ordering::SeqCst);
        placed.gone(&http, Duration::ZERO).await.unwrap();
    }
}
