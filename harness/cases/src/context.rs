//! What a case may touch: the target, clients, evidence, and the list of what has to be undone.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use futures_util::future::BoxFuture;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::ballast::Placed;
use crate::budget::Rates;
use poolproof_client::evidence::served::Names;
use poolproof_client::poll;
use poolproof_client::{self as client, Api, Client, Connections, Request, Tally};
use poolproof_model::change::Change;
use poolproof_model::target::Target;

pub use poolproof_model::settings::Settings;

/// Every wait of a case, in one place. A wait is for a condition; these are the longest that it may take.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// A whole case.
    pub case: Duration,
    /// One request, of those that are not meant to be held.
    pub request: Duration,
    /// An answer that must come at once.
    pub prompt_answer: Duration,
    /// From a change of load until every picker has seen it: four scrapes of 50 ms, GIE's default, and some.
    pub metrics_settle: Duration,
    /// Until ballast is where it should be.
    pub fill: Duration,
    /// Until endpoints are idle after ballast was taken away.
    pub drain: Duration,
    /// Until requests that cannot go on are seen to be held.
    pub held: Duration,
    /// Without any held request being served, after which the rest is taken to be lost.
    pub stall: Duration,
    /// Until counters agree with what was answered.
    pub counters: Duration,
    /// An answer, or the end of one, when what would have given it is gone: no client is to wait for nothing. Connecting to an
    /// address that is gone takes a gateway its time; Envoy's default for a whole request is as long.
    pub refusal: Duration,
    /// From a change of the stack, or from its end, until traffic follows.
    pub recovery: Duration,
    /// A stream of ours that a change is made under: until the change is made.
    pub under_way: Duration,
    /// One step of bringing the stack back to what it was before a case.
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
            undo: Duration::from_secs(180),
        }
    }
}

impl Timeouts {
    /// Those for the embedded stack. It takes up a change at once: what has not come after some seconds never comes.
    pub fn embedded() -> Self {
        Self {
            refusal: Duration::from_secs(6),
            recovery: Duration::from_secs(10),
            under_way: Duration::from_millis(1500),
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
    /// The longest waits.
    pub timeouts: Timeouts,
    /// How sure the verdict must be.
    pub rates: Rates,
    seed: u64,
    /// For control and metrics; not for requests that are judged.
    pub http: reqwest::Client,
    names: Arc<Names>,
    case: &'static str,
    attempt: u8,
    tally: Arc<Tally>,
    started: Instant,
    changed: AtomicBool,
    undo: Mutex<Vec<Undo>>,
    /// Ballast that was put on endpoints, by this case or an earlier one of the run.
    pub(crate) ballast: Arc<Placed>,
}

impl Context {
    /// The context of the attempt with this number at a case.
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
            target,
            timeouts,
            rates,
            seed,
            http: client::http(usize::MAX)?,
            case,
            attempt,
            tally: Arc::new(Tally {
                patience: timeouts.request,
                ..Tally::default()
            }),
            started: Instant::now(),
            changed: AtomicBool::default(),
            undo: Mutex::default(),
            ballast: Arc::default(),
        })
    }

    /// The same, with the ballast that earlier cases of the run may have left.
    pub(crate) fn with_ballast(self, ballast: Arc<Placed>) -> Self {
        Self { ballast, ..self }
    }

    /// A client of the gateway that shares nothing with any other.
    pub fn client(&self, connections: Connections) -> Result<Client> {
        let purpose = self.case.replace('/', "-");
        let client = Client::new(&purpose, &self.target.url, connections, self.tally.clone())?;
        Ok(client.knowing(self.names.clone()))
    }

    /// A client of an endpoint that shares nothing with any other.
    pub fn client_of(&self, endpoint: &url::Url, connections: Connections) -> Result<Client> {
        let purpose = self.case.replace('/', "-");
        let client = Client::new(&purpose, endpoint, connections, Arc::default())?;
        Ok(client.knowing(self.names.clone()))
    }

    /// Whether most of the case's time is over: a sample that is not complete by now has to do.
    pub fn is_late(&self) -> bool {
        const TIME_FOR_SAMPLES: f64 = 0.9;
        self.started.elapsed() > self.timeouts.case.mul_f64(TIME_FOR_SAMPLES)
    }

    /// The requests that were sent to the gateway.
    pub fn sent(&self) -> u64 {
        self.tally.sent.load(Ordering::Relaxed)
    }

    /// Those of them that were not made to wait, and were not answered in the time of a request although no part of the stack had
    /// been changed.
    pub(crate) fn unanswered(&self) -> u64 {
        match self.changed.load(Ordering::Relaxed) {
            true => 0,
            false => self.tally.unanswered.load(Ordering::Relaxed),
        }
    }

    /// Random numbers that depend on the run's seed, the case, the attempt and `purpose` alone.
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

    /// Changes a part of the stack, and returns when it is changed. After the case it is brought back.
    pub async fn change(&self, change: Change) -> Result<()> {
        let changes = self.target.changes.as_ref();
        let at = changes.context("the target takes no changes")?.url.clone();
        let (back, http) = (change.undone(&self.target)?, self.http.clone());
        let what = back.to_string();
        let undo = {
            let at = at.clone();
            async move { client::change::make(&back, &http, &at).await }
        };
        if !self.changed.swap(true, Ordering::Relaxed) {
            // The last thing to be done.
            let served = served_again(self.target.clone(), self.timeouts);
            self.undo("models are served again", served);
        }
        self.undo(&what, undo);
        client::change::make(&change, &self.http, &at).await
    }

    /// Registers what has to be undone after the case, whatever becomes of it. Done in reverse order.
    pub fn undo(&self, what: &str, action: impl Future<Output = Result<()>> + Send + 'static) {
        let undo = Undo {
            what: what.to_owned(),
            action: Box::pin(action),
        };
        self.undos().push(undo);
    }

    /// Undoes what was registered; says what could not be undone.
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
        // A panic while it was held cannot leave the list half changed.
        self.undo
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// Waits until each model is served: a gateway may see later than whoever undid a change that it is undone.
async fn served_again(target: Arc<Target>, timeouts: Timeouts) -> Result<()> {
    const IN_A_ROW: usize = 3;
    let connections = Connections::NewPerRequest;
    let client = Client::new("undo", &target.url, connections, Arc::default())?;
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
            match count.fetch_add(1, Ordering::SeqCst) < REFUSED {
                true => StatusCode::INTERNAL_SERVER_ERROR,
                false => StatusCode::OK,
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
