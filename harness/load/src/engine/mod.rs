//! The engine: sends the requests of a workload, on one thread per processor, and measures the answers.

mod connections;
mod cost;
mod live;
mod pacer;
mod part;
mod worker;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use jiff::Timestamp;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use url::Url;

pub use live::Lives;
pub use part::Part;
pub use poolproof_records::load::Snapshot;

use super::recorder::Recorder;
use super::requests::Requests;
use super::tokenizer::Vocabulary;
use super::transport::Server;
use cost::Meter;
use live::Live;
use poolproof_client::evidence::served::Names;
use poolproof_model::target::Target;
use poolproof_model::target::address::without_login;
use poolproof_model::workload::trace::Trace;
use poolproof_model::workload::{Http, Series, Workload};
use poolproof_records::limits;
use poolproof_records::load::Cost;
use worker::Worker;

/// The work of one process in a run.
pub struct Job {
    /// When requests leave, and how.
    pub workload: Workload,
    /// The requests.
    pub requests: Requests,
    /// The servers that they go to, in turn.
    pub(super) servers: Vec<Server>,
    /// How answers name the endpoint that served them.
    pub(super) names: Names,
    /// Threads that send.
    pub threads: usize,
    /// The seed of the schedule.
    pub seed: u64,
    /// Which of its requests are sent here.
    pub part: Part,
    /// When the last request is due, in seconds.
    pub end_s: f64,
    /// For each class, the limits that a good request keeps.
    pub limits: Vec<Vec<(Series, Duration)>>,
}

/// The result of a job.
#[derive(Debug)]
pub struct Measured {
    /// When the clock began to run.
    pub started: Timestamp,
    /// The same moment on the clock of this process.
    pub start: Instant,
    /// The measurements of all workers.
    pub recorder: Recorder,
    /// The resource use of each thread.
    pub costs: Vec<Cost>,
    /// Requests that were started, those of the warm-up included.
    pub started_requests: u64,
    /// Of these, those that had not ended when the run was interrupted.
    pub unfinished: u64,
}

/// From the moment when all workers are ready to the first request.
const LEAD: Duration = Duration::from_millis(20);
/// How often progress is reported.
const WATCHED_EVERY: Duration = Duration::from_secs(1);
/// The most connections that are opened before the clock starts.
const WARM_CONNECTIONS_MAX: usize = 256;

/// Runs the job. `watch` receives its progress once a second.
pub async fn run(
    job: Job,
    stop: &CancellationToken,
    watch: &mut (dyn FnMut(&Snapshot) + Send),
) -> Result<Measured> {
    let ready = Ready::prepare(job, stop).await?;
    ready.go(Instant::now() + LEAD, watch).await
}

/// A job whose workers have opened their connections and wait for the clock to start. Dropping it abandons the job.
pub struct Ready {
    workers: Vec<Thread>,
    lives: Lives,
}

impl Ready {
    /// Creates the workers of a job. They stop early when `stop` is cancelled.
    pub async fn prepare(job: Job, stop: &CancellationToken) -> Result<Self> {
        let job = Arc::new(job);
        let lives: Vec<Arc<Live>> = (0..job.threads).map(|_| Arc::default()).collect();
        let workers = lives
            .iter()
            .enumerate()
            .map(|(index, live)| Thread::start(job.clone(), index, live.clone(), stop.clone()));
        let mut workers: Vec<Thread> = workers.collect::<Result<_>>()?;
        for worker in &mut workers {
            (&mut worker.ready)
                .await
                .context("a worker ended before it began")?;
        }
        Ok(Self {
            workers,
            lives: Lives::new(lives),
        })
    }

    /// The counters of its workers.
    pub fn lives(&self) -> Lives {
        self.lives.clone()
    }

    /// Runs the job; its clock starts at `start`. `watch` receives its progress once a second.
    pub async fn go(
        self,
        start: Instant,
        watch: &mut (dyn FnMut(&Snapshot) + Send),
    ) -> Result<Measured> {
        let started = Timestamp::now();
        let mut results = Vec::new();
        for worker in self.workers {
            // The result of a worker that has ended has the reason.
            let _ = worker.go.send(start);
            results.push(worker.result);
        }
        let mut tick = tokio::time::interval(WATCHED_EVERY);
        let mut recorder = Recorder::default();
        let mut costs = Vec::new();
        for mut result in results {
            let (own, cost) = loop {
                tokio::select! {
                    result = &mut result => break result.context("a worker ended too early")??,
                    _ = tick.tick() => watch(&self.lives.snapshot()),
                }
            };
            recorder.merge(own);
            costs.push(cost);
        }
        let last = self.lives.snapshot();
        watch(&last);
        Ok(Measured {
            started,
            start,
            recorder,
            costs,
            started_requests: last.started,
            unfinished: last.in_flight(),
        })
    }
}

/// A worker's thread, seen from outside.
struct Thread {
    ready: oneshot::Receiver<()>,
    go: oneshot::Sender<Instant>,
    result: oneshot::Receiver<Result<(Recorder, Cost)>>,
}

impl Thread {
    fn start(
        job: Arc<Job>,
        index: usize,
        live: Arc<Live>,
        stop: CancellationToken,
    ) -> Result<Self> {
        let (tell_ready, ready) = oneshot::channel();
        let (go, told_to_go) = oneshot::channel();
        let (tell_result, result) = oneshot::channel();
        let run = move || -> Result<(Recorder, Cost)> {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .context("starting the runtime of a worker")?;
            let connections = job.warm_connections(index);
            let worker = Worker::new(job, index, live, stop);
            let cost = runtime.block_on(worker.connections().during(async {
                worker.connections().warm_up(connections).await;
                // The receiver is gone if the run was abandoned; then no start comes either.
                let _ = tell_ready.send(());
                let start: Instant = told_to_go.await.context("the run was given up")?;
                // A start that is agreed on with others may be a while ahead; waiting for it is no part of the work.
                if let Some(moment) = start.checked_sub(LEAD) {
                    tokio::time::sleep_until(moment.into()).await;
                }
                let meter = Meter::start();
                worker.work(start).await?;
                anyhow::Ok(meter.read())
            }))?;
            Ok((worker.into_recorder(), cost))
        };
        std::thread::Builder::new()
            .name(format!("load-{index}"))
            .spawn(move || {
                // As above.
                let _ = tell_result.send(run());
            })
            .context("starting the thread of a worker")?;
        Ok(Self { ready, go, result })
    }
}

/// How a run sends its workload.
#[derive(Clone, Debug)]
pub struct Sender<'a> {
    /// Where requests go, in turn.
    pub urls: &'a [Url],
    /// Local addresses to connect from, in turn.
    pub sources: &'a [IpAddr],
    /// The words of prompts, if they are made for a tokenizer.
    pub vocabulary: Option<&'a Vocabulary>,
    /// Threads that send.
    pub threads: usize,
    /// The seed of the schedule and of the requests.
    pub seed: u64,
    /// Which of its requests are sent here.
    pub part: Part,
}

impl Job {
    /// The job of sending a workload to a target.
    pub async fn new(
        workload: Workload,
        trace: Option<Trace>,
        target: &Target,
        sender: Sender<'_>,
    ) -> Result<Self> {
        let Sender {
            urls,
            sources,
            vocabulary,
            threads,
            seed,
            part,
        } = sender;
        if let Some(users) = workload.arrival.users() {
            limits::check_connections(part.users(users), sources.len())
                .with_context(|| format!("arrival: `users` is {users}"))?;
        }
        let limits = workload
            .mix
            .iter()
            .map(|class| workload.limits(&class.class));
        let mut servers = Vec::new();
        for url in urls {
            let server = Server::of(target, url, sources.to_vec(), workload.http).await;
            servers.push(server.with_context(|| format!("url {}", without_login(url)))?);
        }
        Ok(Self {
            end_s: workload.end_s(trace.as_ref()),
            limits: limits.collect(),
            requests: Requests::new(&workload, trace, target, urls, vocabulary, seed)?
                .marked(part.run),
            servers,
            names: Names::of(target),
            threads,
            seed,
            part,
            workload,
        })
    }

    /// The limits that a class has for gaps between frames.
    pub(super) fn gap_limits(&self, class: usize) -> impl Iterator<Item = Duration> {
        let limits = self.limits[class].iter();
        let of_gaps = limits.filter(|(series, _)| !series.is_per_answer());
        of_gaps.map(|(_, limit)| *limit)
    }

    /// The connections that a worker opens before the clock runs: those that users or a second of arrivals need.
    fn warm_connections(&self, index: usize) -> usize {
        if self.workload.new_connections {
            return 0;
        }
        if self.workload.http == Http::Two {
            // One for each address.
            let addresses = self.servers.iter().map(Server::addresses);
            return self.servers.len() * addresses.max().unwrap_or(1);
        }
        let arrival = &self.workload.arrival;
        let all = match (arrival.users(), arrival.rate_max_per_s()) {
            (Some(users), _) => users,
            (None, Some(rate)) => (rate.ceil() as usize).min(WARM_CONNECTIONS_MAX),
            (None, None) => 0,
        };
        self.own(all, index).count()
    }
}
