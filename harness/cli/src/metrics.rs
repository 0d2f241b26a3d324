//! `--metrics-addr`: serves the figures of a run at `/metrics` while it lasts.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::Failure;
use poolproof_report::openmetrics;

/// The address that serves the figures.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct MetricsArgs {
    /// Address that serves live figures as OpenMetrics at /metrics, such as 127.0.0.1:9464
    #[arg(help_heading = "Output", long, value_name = "ADDR")]
    metrics_addr: Option<SocketAddr>,
}

/// Serves the latest text, or nothing if no address was given. Dropping it stops the server.
pub(super) struct Exporter(Option<Serving>);

struct Serving {
    text: watch::Sender<String>,
    server: AbortHandle,
}

impl Exporter {
    /// Starts serving. An address that cannot be bound is a usage error.
    pub(super) async fn start(args: &MetricsArgs) -> Result<Self, Failure> {
        let Some(address) = args.metrics_addr else {
            return Ok(Self(None));
        };
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("--metrics-addr {address}: cannot listen"))
            .map_err(Failure::usage)?;
        let address = listener
            .local_addr()
            .context("reading the address of the metrics server")?;
        eprintln!("metrics: http://{address}/metrics");
        // A complete text without figures.
        let (text, latest) = watch::channel("# EOF\n".to_owned());
        let router = Router::new()
            .route("/metrics", get(metrics))
            .with_state(latest);
        // The server ends with this process at the latest. A failed accept is visible to the client.
        let server = tokio::spawn(async { axum::serve(listener, router).await });
        Ok(Self(Some(Serving {
            text,
            server: server.abort_handle(),
        })))
    }

    /// Replaces the served text. The text is not built if nothing is served.
    pub(super) fn show(&self, text: impl FnOnce() -> Result<String>) {
        if let Some(serving) = &self.0 {
            match text() {
                Ok(text) => drop(serving.text.send_replace(text)),
                Err(error) => tracing::error!("metrics: {error:#}"),
            }
        }
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        if let Some(serving) = &self.0 {
            serving.server.abort();
        }
    }
}

async fn metrics(State(latest): State<watch::Receiver<String>>) -> impl IntoResponse {
    let text = latest.borrow().clone();
    ([(CONTENT_TYPE, openmetrics::CONTENT_TYPE)], text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::Exit;

    async fn free() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    fn args(address: SocketAddr) -> MetricsArgs {
        MetricsArgs {
            metrics_addr: Some(address),
        }
    }

    #[tokio::test]
    async fn the_latest_text_is_served_with_its_content_type() {
        let (listener, address) = free().await;
        drop(listener);
        let exporter = Exporter::start(&args(address)).await.unwrap();
        let http = poolproof_client::http(0).unwrap();
        let read = async || {
            let url = format!("http://{address}/metrics");
            let answer = http.get(url).send().await.unwrap();
            let kind = answer.headers()["content-type"].clone();
            assert_eq!(kind, openmetrics::CONTENT_TYPE);
            answer.text().await.unwrap()
        };
        assert_eq!(read().await, "# EOF\n");
        exporter.show(|| Ok("poolproof_x 1\n# EOF\n".to_owned()));
        assert_eq!(read().await, "poolproof_x 1\n# EOF\n");
    }

    #[tokio::test]
    async fn an_address_in_use_is_a_usage_error_that_names_it() {
        let (_listener, address) = free().await;
        let Err(failure) = Exporter::start(&args(address)).await else {
            unreachable!("the port is in use")
        };
        assert_eq!(failure.exit, Exit::Usage);
        let message = format!("{:#}", failure.error);
        assert!(
            message.contains("--metrics-addr") && message.contains("in use"),
            "{message}"
        );
    }
}
