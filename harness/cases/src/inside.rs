//! Cases that run in a pod of the stack's cluster, so that their times exclude the path from this machine into the
//! cluster.
//!
//! The pod is a worker. Through the API of the cluster, it receives a case and a target, and returns the outcome. Cases
//! that change the stack run on this machine, because the address for changes is only reachable from here.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use futures_util::future::BoxFuture;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::budget::Budget;
use crate::case::{Case, Suite};
use crate::context::{Settings, Timeouts};
use crate::round_trip::{RoundTrip, Vantage, measure};
use crate::run::{self, Options};
use poolproof_client as client;
use poolproof_model::target::{Revealed, Target};
use poolproof_model::verdict::Outcome;

/// A worker exits after some minutes without a request, so its clock is polled while a case runs.
const ASKED_EVERY: Duration = Duration::from_secs(60);
/// The largest number of attempts at a case by [`run::run_case`].
const ATTEMPTS: u32 = 2;

/// A case for a worker.
#[derive(Serialize, Deserialize)]
struct Task {
    case: String,
    target: Target,
    /// What a serialized target does not have.
    access: Revealed,
    settings: Settings,
    case_timeout_ms: u64,
}

type Refusal = (StatusCode, String);

/// The routes of a worker.
pub fn routes(suites: &'static [Suite]) -> Router {
    let run = move |Json(task): Json<Task>| run_task(suites, task);
    Router::new()
        .route("/case", post(run))
        .route("/round-trip", post(round_trip))
}

async fn run_task(suites: &'static [Suite], task: Task) -> Result<Json<Outcome>, Refusal> {
    let mut cases = suites.iter().flat_map(|suite| suite.cases);
    let case = cases.find(|case| case.id == task.case);
    let unknown = || (StatusCode::NOT_FOUND, format!("no case {}", task.case));
    let case = case.ok_or_else(unknown)?;
    let stop = CancellationToken::new();
    let options = Options {
        budget: Budget::new(suites, task.settings),
        timeouts: Timeouts {
            case: Duration::from_millis(task.case_timeout_ms),
            ..Timeouts::default()
        },
        fail_fast: false,
        known: Default::default(),
        stop: stop.clone(),
        inside: None,
    };
    // When the coordinator disconnects, this drop cancels the case, which then undoes its changes.
    let _ended = stop.drop_guard();
    let mut target = task.target;
    target.access = task.access.hide();
    let target = Arc::new(target);
    let ran = tokio::spawn(async move { run::run_case(case, &target, &options).await });
    match ran.await {
        Ok(Some(outcome)) => Ok(Json(outcome)),
        Ok(None) => Err(internal(&anyhow!("the case was stopped"))),
        Err(panic) => Err(internal(&panic.into())),
    }
}

async fn round_trip(Json(gateway): Json<Url>) -> Result<Json<RoundTrip>, Refusal> {
    let target = Target::at("gateway".to_owned(), gateway);
    let measured = measure(&target, Vantage::Pod).await;
    measured.map(Json).map_err(|error| internal(&error))
}

fn internal(error: &anyhow::Error) -> Refusal {
    (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}"))
}

/// Converts the addresses of a target from this machine's view to those that pods of the cluster currently have. Pods
/// accept no changes.
pub type SeenInside = Arc<dyn Fn(Target) -> BoxFuture<'static, Result<Target>> + Send + Sync>;

/// A pod that runs cases.
#[derive(Clone)]
pub struct Inside {
    http: reqwest::Client,
    worker: Url,
    gateway: Url,
    seen_inside: SeenInside,
}

impl fmt::Debug for Inside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inside")
            .field("worker", &self.worker.as_str())
            .field("gateway", &self.gateway.as_str())
            .finish_non_exhaustive()
    }
}

impl Inside {
    /// The worker at a URL, in the cluster of a stack whose gateway has the address `gateway` inside the cluster.
    pub fn new(worker: &Url, gateway: &Url, seen_inside: SeenInside) -> Result<Self> {
        Ok(Self {
            http: client::http(usize::MAX)?,
            worker: worker.clone(),
            gateway: gateway.clone(),
            seen_inside,
        })
    }

    /// Measures a round trip from the pod to the gateway.
    pub async fn round_trip(&self) -> Result<RoundTrip> {
        let limit = Duration::from_secs(60);
        self.ask("round-trip", &self.gateway, limit).await
    }

    /// Runs a case. Returns `None` if the run was stopped meanwhile.
    pub async fn run_case(
        &self,
        case: &Case,
        target: &Target,
        options: &Options,
    ) -> Option<Outcome> {
        let outcome = tokio::select! {
            outcome = self.outcome(case, target, options) => outcome,
            error = self.keep_in_touch() => Err(error),
            () = options.stop.cancelled() => return None,
        };
        Some(match outcome {
            Ok(outcome) => outcome.evidence("sent from a pod of the cluster"),
            Err(error) => Outcome::error(&error.context("running the case in a pod")),
        })
    }

    async fn outcome(&self, case: &Case, target: &Target, options: &Options) -> Result<Outcome> {
        let timeouts = options.timeouts_of(case);
        let task = Task {
            case: case.id.to_owned(),
            // Computed for each case: a replaced pod has another address.
            target: (self.seen_inside)(target.clone()).await?,
            access: target.access.reveal(),
            settings: *options.budget.settings(),
            case_timeout_ms: options.timeouts.case.as_millis() as u64,
        };
        let limit = (timeouts.case + timeouts.undo) * ATTEMPTS;
        self.ask("case", &task, limit).await
    }

    async fn keep_in_touch(&self) -> anyhow::Error {
        loop {
            tokio::time::sleep(ASKED_EVERY).await;
            let asked = self.worker.join("clock").context("its url");
            let answered = match asked {
                Ok(clock) => poolproof_client::evidence::get(&self.http, &clock).await,
                Err(error) => Err(error),
            };
            if let Err(error) = answered {
                return error;
            }
        }
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        limit: Duration,
    ) -> Result<T> {
        let request = self.http.post(self.worker.join(path)?).json(body);
        let response = request.timeout(limit).send().await?;
        let status = response.status();
        let text = response.text().await?;
        ensure!(status.is_success(), "{path}: {status}: {text}");
        serde_json::from_str(&text).with_context(|| format!("its answer to {path}"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use poolproof_model::target::Access;
    use poolproof_model::topology::Topology;
    use poolproof_model::verdict::Verdict;

    static SUITES: &[Suite] = &[Suite {
        id: "a",
        promise: "p",
        cases: &[Case {
            run: |ctx| Box::pin(async { Ok(Outcome::pass(ctx.target.url.as_str())) }),
            ..Case::plain("a/tells-its-target")
        }],
        catches: &[],
    }];

    #[tokio::test]
    async fn a_worker_runs_the_requested_case_and_refuses_an_unknown_one() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(async { axum::serve(listener, routes(SUITES)).await });
        let ask = async |case: &str| {
            let task = Task {
                case: case.to_owned(),
                target: Target::planned(&Topology::default()).unwrap(),
                access: Access::default().reveal(),
                settings: Settings::default(),
                case_timeout_ms: 5000,
            };
            let asked = client::http(0)
                .unwrap()
                .post(format!("http://{address}/case"));
            asked.json(&task).send().await.unwrap()
        };
        let outcome: Outcome = ask("a/tells-its-target").await.json().await.unwrap();
        let target = Target::planned(&Topology::default()).unwrap();
        assert_eq!(outcome.verdict, Verdict::Pass);
        assert_eq!(outcome.summary, target.url.as_str());
        let refused = ask("a/other").await;
        assert_eq!(refused.status(), StatusCode::NOT_FOUND);
        assert_eq!(refused.text().await.unwrap(), "no case a/other");
        serving.abort();
    }
}
