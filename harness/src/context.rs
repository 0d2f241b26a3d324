//! What a case may touch: the target, clients, evidence, and the list of what has to be undone.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures_util::future::BoxFuture;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::change::Change;
use crate::client::{self, Api, Client, Connections, Request, Tally};
use crate::evidence::served::Names;
use crate::parts::StackKind;
use crate::target::Target;

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
    /// Those of a kind of stack. The embedded one takes up a change at once: what has not come after some seconds never comes.
    pub fn of(kind: StackKind) -> Self {
        match kind {
            StackKind::Embedded => Self {
                refusal: Duration::from_secs(6),
                recovery: Duration::from_secs(10),
                under_way: Duration::from_millis(1500),
                ..Self::default()
            },
            _ => Self::default(),
        }
    }
}

/// What the user may change about how cases judge.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Settings {
    /// Seed of every random choice of the client.
    pub seed: u64,
    /// The smallest deviation of a split that must be caught, as a share (0.03 is three points).
    pub split_tolerance: f64,
    /// The chance with which a whole run may fail a correct stack. Cases share it out: see [`Settings::alpha`].
    pub run_alpha: f64,
    /// The chance with which each statistical case catches the smallest deviation that matters.
    pub power: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            seed: 1,
            split_tolerance: 0.03,
            run_alpha: 0.001,
            power: 0.99,
        }
    }
}

impl Settings {
    /// Fails if a target cannot be judged by these.
    pub fn check(&self, target: &Target) -> Result<()> {
        let lightest = target.canary().and_then(|model| {
            let pool = model.weighted_pools().min_by_key(|pool| pool.weight)?;
            let share = f64::from(pool.weight) / f64::from(model.total_weight());
            Some((pool, share))
        });
        if let Some((pool, share)) = lightest {
            ensure!(
                self.split_tolerance < share,
                "--tolerance {}: must be below the smallest share that is judged, the {} % of pool {}",
                self.split_tolerance * 100.0,
                share * 100.0,
                pool.name
            );
        }
        Ok(())
    }

    /// The part of the run's alpha that a statistical Must case may spend. The parts are fixed, so that what a case says depends on
    /// no other one; a run takes at most three parts of [`Settings::split_alpha`] and fourteen of these, together less than all of
    /// it (Bonferroni's inequality): cases that count what must never happen take a billionth each.
    pub fn alpha(&self) -> f64 {
        self.run_alpha / 21.0
    }

    /// The part of a case about splits, whose samples are by far the largest.
    pub fn split_alpha(&self) -> f64 {
        self.run_alpha / 10.0
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
    /// What the user set.
    pub settings: Settings,
    /// For control and metrics; not for requests that are judged.
    pub http: reqwest::Client,
    names: Arc<Names>,
    case: &'static str,
    attempt: u8,
    tally: Arc<Tally>,
    started: Instant,
    changed: AtomicBool,
    undo: Mutex<Vec<Undo>>,
}

impl Context {
    /// The context of the attempt with this number at a case.
    pub fn new(
        target: Arc<Target>,
        timeouts: Timeouts,
        settings: Settings,
        case: &'static str,
        attempt: u8,
    ) -> Result<Self> {
        Ok(Self {
            names: Names::of(&target).into(),
            target,
            timeouts,
            settings,
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
        })
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
        seed[..8].copy_from_slice(&self.settings.seed.to_le_bytes());
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
            async move { back.make(&http, &at).await }
        };
        if !self.changed.swap(true, Ordering::Relaxed) {
            // The last thing to be done.
            let served = served_again(self.target.clone(), self.timeouts);
            self.undo("models are served again", served);
        }
        self.undo(&what, undo);
        change.make(&self.http, &at).await
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
        let served = wait_for(timeouts.recovery, || async {
            for _ in 0..IN_A_ROW {
                let request = Request::new(Api::Completions, &model.name, 1, &mut rand::rng());
                let exchange = client.send(request.timeout(timeouts.request)).await;
                exchange.is_success().then_some(())?;
            }
            Some(())
        });
        let what = || format!("model {} for {:?}", model.name, timeouts.recovery);
        served.await.with_context(what)?;
    }
    Ok(())
}

/// Waits until `check` gives a value; `None` after `timeout`. Looks again every few milliseconds.
pub async fn wait_for<T, F>(timeout: Duration, mut check: impl FnMut() -> F) -> Option<T>
where
    F: Future<Output = Option<T>>,
{
    const LOOK_AGAIN: Duration = Duration::from_millis(5);
    let look = async {
        loop {
            if let Some(value) = check().await {
                return value;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    tokio::time::timeout(timeout, look).await.ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use axum::Router;
    use axum::http::StatusCode;
    use axum::routing::post;

    use super::*;
    use crate::change::Changes;
    use crate::topology::Topology;

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
            kinds: [crate::change::Kind::Picker].into(),
        });
        let models = target.models.len();
        let (timeouts, settings) = (Timeouts::default(), Settings::default());
        let context = Context::new(target.into(), timeouts, settings, "a/case", 0).unwrap();
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
