//! The context of a case: the target, clients, evidence, and the list of changes to undo.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use futures_util::future::BoxFuture;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::budget::Rates;
use crate::placed::Placed;
use poolproof_client::evidence::served::Names;
use poolproof_client::poll;
use poolproof_client::{self as client, Api, Client, Connections, Request, Tally};
use poolproof_model::change::Change;
use poolproof_model::status::{Arrangement, Report};
use poolproof_model::target::Target;

pub use poolproof_model::settings::Settings;

/// All timeouts of cases, in one place. Each is the longest wait for a condition.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// A whole case.
    pub case: Duration,
    /// One request that is not meant to be held.
    pub request: Duration,
    /// An immediate response.
    pub prompt_answer: Duration,
    /// From a change of load until every picker has seen it: four scrapes of 50 ms, GIE's default, plus a margin.
    pub metrics_settle: Duration,
    /// Until ballast is in place.
    pub fill: Duration,
    /// Until endpoints are idle after ballast was removed.
    pub drain: Duration,
    /// Until requests that cannot proceed are seen to be held.
    pub held: Duration,
    /// The time without any held request being served, after which the remaining requests count as lost.
    pub stall: Duration,
    /// Until counters agree with the responses.
    pub counters: Duration,
    /// A response, or the end of one, after its source has failed: no client may wait forever. A gateway needs some time
    /// to connect to an address that is gone. Envoy's default timeout for a whole request is the same.
    pub refusal: Duration,
    /// From a change of the stack, or its reversal, until traffic follows.
    pub recovery: Duration,
    /// The wait for a change that is made during a stream.
    pub under_way: Duration,
    /// From a change of Kubernetes objects until their conditions follow. The conformance tests of the Gateway API allow an
    /// HTTPRoute as long.
    pub conditions: Duration,
    /// One step of restoring the stack after a case.
    pub undo: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            case: Duration::from_secs(120),
            request: Duration::from_secs(30),
            prompt_answer: Duration::from_secs(1),
            metrics_settle: Duration::from_millis(250),
            fill: Duration::from_secs(20),
            drain: Duration::from_secs(30),
            held: Duration::from_secs(3),
            stall: Duration::from_secs(5),
            counters: Duration::from_secs(3),
            refusal: Duration::from_secs(15),
            recovery: Duration::from_secs(30),
            under_way: Duration::from_secs(3),
            conditions: Duration::from_secs(60),
            undo: Duration::from_secs(180),
        }
    }
}

impl Timeouts {
    /// The timeouts for the embedded stack. It applies a change immediately, so a change without effect after some
    /// seconds never takes effect.
    pub fn embedded() -> Self {
        Self {
            refusal: Duration::from_secs(6),
            recovery: Duration::from_secs(10),
            under_way: Duration::from_millis(1500),
            conditions: Duration::from_secs(3),
            ..Self::default()
        }
    }
}

struct Undo {
    what: String,
    action: BoxFuture<'static, Result<()>>,
}

/// The context of one case.
pub struct Context {
    /// The stack under test.
    pub target: Arc<Target>,
    /// The timeouts.
    pub timeouts: Timeouts,
    /// The error rates of the verdict.
    pub rates: Rates,
    seed: u64,
    /// The HTTP client for control and metrics; never for judged requests.
    pub http: reqwest::Client,
    names: Arc<Names>,
    case: &'static str,
    attempt: u8,
    tally: Arc<Tally>,
    started: Instant,
    changed: AtomicBool,
    arranged: AtomicBool,
    undo: Mutex<Vec<Undo>>,
    /// Ballast placed by this case or an earlier case of the run.
    pub(crate) ballast: Arc<Placed>,
}

impl Context {
    /// The context of attempt number `attempt` of a case.
    pub fn new(
        target: Arc<Target>,
        timeouts: Timeouts,
        seed: u64,
        rates: Rates,
        case: &'static str,
        attempt: u8,
    ) -> Result<Self> {
        Ok(Self {
            names: Names::of(&target).into(),
            timeouts,
            rates,
            seed,
            http: client::http_of(&target, usize::MAX)?,
            target,
            case,
            attempt,
            tally: Arc::new(Tally {
                patience: timeouts.request,
                ..Tally::default()
            }),
            started: Instant::now(),
            changed: AtomicBool::default(),
            arranged: AtomicBool::default(),
            undo: Mutex::default(),
            ballast: Arc::default(),
        })
    }

    /// Shares the list of ballast that earlier cases of the run may have left.
    pub(crate) fn with_ballast(self, ballast: Arc<Placed>) -> Self {
        Self { ballast, ..self }
    }

    /// A client of the gateway that shares nothing with other clients.
    pub fn client(&self, connections: Connections) -> Result<Client> {
        let purpose = self.case.replace('/', "-");
        let (target, tally) = (&self.target, self.tally.clone());
        let client = Client::of(target, &target.url, &purpose, connections, tally)?;
        Ok(client.knowing(self.names.clone()))
    }

    /// A client of an endpoint that shares nothing with other clients.
    pub fn client_of(&self, endpoint: &url::Url, connections: Connections) -> Result<Client> {
        let purpose = self.case.replace('/', "-");
        let tally = Arc::new(Tally {
            kept: self.tally.kept.clone(),
            ..Tally::default()
        });
        let client = Client::of(&self.target, endpoint, &purpose, connections, tally)?;
        Ok(client.knowing(self.names.clone()))
    }

    /// True once most of the time budget is used; samplers then stop early with what they have.
    pub fn is_late(&self) -> bool {
        const TIME_FOR_SAMPLES: f64 = 0.9;
        self.started.elapsed() > self.timeouts.case.mul_f64(TIME_FOR_SAMPLES)
    }

    /// The number of requests sent to the gateway.
    pub fn sent(&self) -> u64 {
        self.tally.sent.load(Ordering::Relaxed)
    }

    /// How many of them got no response within the timeout of a request. Requests that are made to wait do not count,
    /// nor do any after a change of the stack.
    pub(crate) fn unanswered(&self) -> u64 {
        if self.changed.load(Ordering::Relaxed) {
            0
        } else {
            self.tally.unanswered.load(Ordering::Relaxed)
        }
    }

    /// A random number generator seeded only by the run's seed, the case, the attempt and `purpose`.
    pub fn rng(&self, purpose: &str) -> ChaCha8Rng {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.seed.to_le_bytes());
        seed[8] = self.attempt;
        for (number, byte) in format!("{}:{purpose}", self.case).bytes().enumerate() {
            let at = 9 + number % 23;
            seed[at] = seed[at].rotate_left(3) ^ byte;
        }
        ChaCha8Rng::from_seed(seed)
    }

    /// Changes a part of the stack, and returns once it has changed. The change is undone after the case.
    pub async fn change(&self, change: Change) -> Result<()> {
        let changes = self.target.changes.as_ref();
        let at = changes
            .context("the target accepts no changes")?
            .url
            .clone();
        let (back, http) = (change.undone(&self.target)?, self.http.clone());
        let what = back.to_string();
        let undo = {
            let at = at.clone();
            async move { client::change::make(&back, &http, &at).await }
        };
        if !self.changed.swap(true, Ordering::Relaxed) {
            // Undo actions run in reverse order, so this one runs last.
            let served = served_again(self.target.clone(), self.timeouts);
            self.undo("models are served again", served);
        }
        self.undo(&what, undo);
        client::change::make(&change, &self.http, &at).await
    }

    /// Makes exactly these objects exist, and returns once the cluster has taken them. They are removed after the case.
    pub async fn arrange(&self, wanted: &Arrangement) -> Result<()> {
        let at = self.statuses()?;
        if !self.arranged.swap(true, Ordering::Relaxed) {
            let (at, http) = (at.clone(), self.http.clone());
            let none = Arrangement::default();
            self.undo("its objects are removed", async move {
                client::status::arrange(&none, &http, &at).await
            });
        }
        client::status::arrange(wanted, &self.http, at).await
    }

    /// The status of the objects that exist.
    pub async fn report(&self) -> Result<Report> {
        client::status::report(&self.http, self.statuses()?).await
    }

    fn statuses(&self) -> Result<&url::Url> {
        let statuses = self.target.statuses.as_ref();
        let statuses = statuses.context("the target takes no objects")?;
        Ok(&statuses.url)
    }

    /// Registers an action that runs after the case, whatever its outcome. Actions run in reverse order.
    pub fn undo(&self, what: &str, action: impl Future<Output = Result<()>> + Send + 'static) {
        let undo = Undo {
            what: what.to_owned(),
            action: Box::pin(action),
        };
        self.undos().push(undo);
    }

    /// Runs the registered actions. Returns the descriptions of those that failed.
    pub(crate) async fn undo_all(&self) -> Vec<String> {
        let mut failed = Vec::new();
        loop {
            let Some(undo) = self.undos().pop() else {
                return failed;
            };
            match tokio::time::timeout(self.timeouts.undo, undo.action).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => failed.push(format!("{}: {error:#}", undo.what)),
                Err(_) => failed.push(format!("{}: timed out", undo.what)),
            }
        }
    }

    fn undos(&self) -> std::sync::MutexGuard<'_, Vec<Undo>> {
        // A panic while the lock was held cannot leave the list half changed.
        self.undo
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// Waits until each model is served. A gateway may see the reversal of a change later than the part that was changed.
async fn served_again(target: Arc<Target>, timeouts: Timeouts) -> Result<()> {
    const IN_A_ROW: usize = 3;
    let connections = Connections::NewPerRequest;
    let client = Client::of(&target, &target.url, "undo", connections, Arc::default())?;
    for model in &target.models {
        let what = format!("model {} is served again", model.name);
        let served = poll::until(what, timeouts.recovery, poll::INTERVAL, || async {
            for _ in 0..IN_A_ROW {
                let request = Request::new(Api::Completions, &model.name, 1, &mut rand::rng());
                let exchange = client.send(request.timeout(timeouts.request)).await;
                exchange.is_success().then_some(())?;
            }
            Some(())
        });
        served.await?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use axum::Router;
    use axum::http::StatusCode;
    use axum::routing::post;

    use super::*;
    use poolproof_model::change::Changes;
    use poolproof_model::topology::Topology;

    #[tokio::test]
    async fn a_change_is_undone_once_all_models_are_served_again() {
        const REFUSED: usize = 5;
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let complete = move || async move {
            if count.fetch_add(1, Ordering::SeqCst) < REFUSED {
                StatusCode::INTERNAL_SERVER_ERROR
            } else {
                StatusCode::OK
            }
        };
        let app = Router::new()
            .route("/v1/completions", post(complete))
            .route("/", post(|| async { StatusCode::NO_CONTENT }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url: url::Url = format!("http://{}/", listener.local_addr().unwrap())
            .parse()
            .unwrap();
        let serving = tokio::spawn(async { axum::serve(listener, app).await });

        let mut target = Target::planned(&Topology::default()).unwrap();
        target.url = url.clone();
        target.changes = Some(Changes {
            url,
            kinds: [poolproof_model::change::Kind::Picker].into(),
        });
        let models = target.models.len();
        let rates = Rates {
            alpha: 1e-4,
            power: 0.99,
            split_tolerance: 0.03,
            slow_answer: Duration::from_secs(20),
        };
        let context = Context::new(target.into(), Timeouts::default(), 1, rates, "a/case", 0);
        let context = context.unwrap();
        let down = Change::Picker {
            pool: "model-a".to_owned(),
            running: false,
        };
        context.change(down.clone()).await.unwrap();
        context.change(down).await.unwrap();
        assert_eq!(asked.load(Ordering::SeqCst), 0);
        assert!(context.undo_all().await.is_empty());
        assert_eq!(asked.load(Ordering::SeqCst), REFUSED + 3 * models);
        assert_eq!(context.sent(), 0);
        serving.abort();
    }
}
