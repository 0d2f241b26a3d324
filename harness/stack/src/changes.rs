//! The address at which a running stack takes changes, and its server.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context, Result};
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use super::place::Operator;
use poolproof_model::change::{Change, Changes};

/// Takes changes until it is dropped.
pub(crate) struct Server {
    pub(crate) changes: Changes,
    _serving: AbortOnDropHandle<()>,
}

/// Serves the changes of a stack, on this machine only.
pub(crate) async fn serve(operator: Arc<dyn Operator>) -> Result<Server> {
    let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listener = TcpListener::bind(any_port).await;
    let listener = listener.context("an address that takes changes")?;
    let address = listener
        .local_addr()
        .context("address that takes changes")?;
    let changes = Changes {
        url: format!("http://{address}/").parse()?,
        kinds: operator.kinds().await.into_iter().collect(),
    };
    let app = Router::new().route("/", post(make)).with_state(operator);
    let serving = tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, app).await {
            tracing::error!("serving changes: {error}");
        }
    });
    Ok(Server {
        changes,
        _serving: AbortOnDropHandle::new(serving),
    })
}

async fn make(
    State(operator): State<Arc<dyn Operator>>,
    Json(change): Json<Change>,
) -> Result<StatusCode, (StatusCode, String)> {
    // A separate task: a client that disconnects must not leave a change half made.
    let made = tokio::spawn(async move { operator.make(change).await }).await;
    made.unwrap_or_else(|panic| Err(panic.into()))
        .map(|()| StatusCode::NO_CONTENT)
        .map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}\n")))
}
