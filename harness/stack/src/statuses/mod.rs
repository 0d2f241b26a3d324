//! The address at which a running stack takes Kubernetes objects whose conditions a case judges, and its server.

mod manifests;
mod objects;
mod read;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context, Result};
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::put;
use axum::{Json, Router};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

pub(crate) use objects::Objects;
use poolproof_model::status::{Arrangement, Report, Statuses};

type Failure = (StatusCode, String);

/// Takes arrangements until it is dropped.
pub(crate) struct Server {
    pub(crate) statuses: Statuses,
    _serving: AbortOnDropHandle<()>,
}

/// Serves the objects of a stack, on this machine only.
pub(crate) async fn serve(objects: Objects) -> Result<Server> {
    let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listener = TcpListener::bind(any_port).await;
    let listener = listener.context("an address that takes objects")?;
    let address = listener
        .local_addr()
        .context("address that takes objects")?;
    let statuses = Statuses {
        url: format!("http://{address}/").parse()?,
    };
    let app = Router::new()
        .route("/", put(arrange).get(report))
        .with_state(Arc::new(objects));
    let serving = tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, app).await {
            tracing::error!("serving objects: {error}");
        }
    });
    Ok(Server {
        statuses,
        _serving: AbortOnDropHandle::new(serving),
    })
}

async fn arrange(
    State(objects): State<Arc<Objects>>,
    Json(wanted): Json<Arrangement>,
) -> Result<StatusCode, Failure> {
    // A separate task: a client that disconnects must not leave objects half made.
    let made = tokio::spawn(async move { objects.arrange(wanted).await }).await;
    made.unwrap_or_else(|panic| Err(panic.into()))
        .map(|()| StatusCode::NO_CONTENT)
        .map_err(failure)
}

async fn report(State(objects): State<Arc<Objects>>) -> Result<Json<Report>, Failure> {
    objects.report().await.map(Json).map_err(failure)
}

fn failure(error: anyhow::Error) -> Failure {
    (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}\n"))
}
