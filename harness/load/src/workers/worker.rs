//! A worker: sends its part of each run that a coordinator assigns, one run at a time.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::clock::Clock;
use super::{Assignment, HandedOver, Progress};
use crate::engine::{Lives, Measured, Ready};
use poolproof_client::lock::lock;
use poolproof_records::limits;

/// A worker that has no coordinator any more ends after so long: other pods may take minutes to be there, but while requests are sent
/// it is asked every second.
const UNHEARD_WAITING_MAX: Duration = Duration::from_secs(600);
const UNHEARD_SENDING_MAX: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// A worker that listens.
pub struct Server {
    listener: TcpListener,
}

impl Server {
    /// Listens on a loopback address: anyone who can connect to a worker can make it send traffic.
    pub async fn bind(address: SocketAddr) -> Result<Self> {
        ensure!(
            address.ip().is_loopback(),
            "{address}: must be a loopback address: anyone who can connect decides what is sent"
        );
        let listener = TcpListener::bind(address).await;
        let listener = listener.with_context(|| format!("listening on {address}"))?;
        Ok(Self { listener })
    }

    /// Where it listens.
    pub fn address(&self) -> Result<SocketAddr> {
        self.listener.local_addr().context("its own address")
    }

    /// Serves its own routes and those of `beside` until `stop` is cancelled. Fails if no request comes for too long.
    pub async fn serve(self, beside: Router, stop: CancellationToken) -> Result<()> {
        let worker = Arc::new(Worker {
            clock: Clock::new(),
            heard_at: Mutex::new(Instant::now()),
            phase: Mutex::new(Phase::Idle),
        });
        let routes = Router::new()
            .route("/clock", get(clock))
            .route("/assignment", post(assign))
            .route("/start", post(start))
            .route("/stop", post(end_early))
            .route("/progress", get(progress))
            .route("/result", get(result))
            .with_state(worker.clone())
            .merge(beside)
            .layer(middleware::from_fn_with_state(worker.clone(), heard))
            // A trace may be long.
            .layer(DefaultBodyLimit::disable());
        tokio::select! {
            served = axum::serve(self.listener, routes).into_future() => served.context("serving"),
            forgotten = worker.forgotten() => Err(forgotten),
            () = stop.cancelled() => Ok(()),
        }
    }
}

struct Worker {
    clock: Clock,
    heard_at: Mutex<Instant>,
    phase: Mutex<Phase>,
}

/// The state of a worker.
enum Phase {
    Idle,
    /// Its connections are open.
    Ready(Ready, CancellationToken),
    Sending(Lives, CancellationToken),
    /// With why it failed, if it did.
    Done(Lives, Result<Box<HandedOver>, String>),
}

type Refusal = (StatusCode, String);

fn refuse(status: StatusCode, error: &anyhow::Error) -> Refusal {
    (status, format!("{error:#}"))
}

/// Records the time of a coordinator's request.
async fn heard(State(worker): State<Arc<Worker>>, request: Request, next: Next) -> Response {
    *lock(&worker.heard_at) = Instant::now();
    next.run(request).await
}

async fn clock(State(worker): State<Arc<Worker>>) -> Json<i64> {
    Json(worker.clock.now_us())
}

/// Gets ready to send, and drops an earlier assignment that was not started.
async fn assign(
    State(worker): State<Arc<Worker>>,
    Json(assignment): Json<Assignment>,
) -> Result<(), Refusal> {
    let job = assignment.job().await;
    let job = job.map_err(|error| refuse(StatusCode::BAD_REQUEST, &error))?;
    let stop = CancellationToken::new();
    let ready = Ready::prepare(job, &stop).await;
    let ready = ready.map_err(|error| refuse(StatusCode::INTERNAL_SERVER_ERROR, &error))?;
    let mut phase = lock(&worker.phase);
    if let Phase::Sending(..) = *phase {
        return Err((StatusCode::CONFLICT, "it is sending".to_owned()));
    }
    *phase = Phase::Ready(ready, stop);
    Ok(())
}

/// Sends from a moment of this worker's clock on.
async fn start(State(worker): State<Arc<Worker>>, Json(at_us): Json<i64>) -> Result<(), Refusal> {
    let moment = worker.clock.moment(at_us);
    let mut phase = lock(&worker.phase);
    match std::mem::replace(&mut *phase, Phase::Idle) {
        Phase::Ready(ready, stop) => {
            let lives = ready.lives();
            *phase = Phase::Sending(lives.clone(), stop);
            let worker = worker.clone();
            tokio::spawn(async move {
                let measured = ready.go(moment, &mut |_| {}).await;
                let handed_over = measured.map(|it| Box::new(HandedOver::new(it)));
                let handed_over = handed_over.map_err(|error| format!("{error:#}"));
                *lock(&worker.phase) = Phase::Done(lives, handed_over);
            });
            Ok(())
        }
        other => {
            *phase = other;
            Err((StatusCode::CONFLICT, "it has nothing to send".to_owned()))
        }
    }
}

/// Stops sending; the result is what was measured by then.
async fn end_early(State(worker): State<Arc<Worker>>) {
    if let Phase::Sending(_, stop) = &*lock(&worker.phase) {
        stop.cancel();
    }
}

async fn progress(State(worker): State<Arc<Worker>>) -> Json<Progress> {
    let (live, done) = match &*lock(&worker.phase) {
        Phase::Idle | Phase::Ready(..) => Default::default(),
        Phase::Sending(lives, _) => (lives.snapshot(), false),
        Phase::Done(lives, _) => (lives.snapshot(), true),
    };
    Json(Progress { live, done })
}

async fn result(State(worker): State<Arc<Worker>>) -> Result<Json<HandedOver>, Refusal> {
    match &*lock(&worker.phase) {
        Phase::Done(_, Ok(handed_over)) => Ok(Json((**handed_over).clone())),
        Phase::Done(_, Err(error)) => Err((StatusCode::INTERNAL_SERVER_ERROR, error.clone())),
        _ => Err((StatusCode::CONFLICT, "it is not done".to_owned())),
    }
}

impl Worker {
    /// Waits until no request has come for too long.
    async fn forgotten(&self) -> anyhow::Error {
        loop {
            tokio::time::sleep(LOOK_AGAIN).await;
            let limit = match &*lock(&self.phase) {
                Phase::Sending(..) => UNHEARD_SENDING_MAX,
                _ => UNHEARD_WAITING_MAX,
            };
            if lock(&self.heard_at).elapsed() > limit {
                return anyhow::anyhow!("no coordinator was heard of for {limit:?}");
            }
        }
    }
}

impl HandedOver {
    fn new(measured: Measured) -> Self {
        Self {
            recorder: measured.recorder,
            costs: measured.costs,
            started_requests: measured.started_requests,
            unfinished: measured.unfinished,
            cores: limits::cores(),
        }
    }
}
