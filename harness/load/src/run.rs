//! One run: a workload, sent to a stack from this process or from workers, and the record of it.

use std::net::IpAddr;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use url::Url;

use super::Error;
use super::distribute::distribute;
use super::engine::{self, Job, Measured, Part, Sender, Snapshot};
use super::follow::Follower;
use super::make::{self, About};
use super::recorder::window_s;
use super::saturation::Saturation;
use super::tokenizer::Vocabulary;
use super::workers::{self, Workers};
use poolproof_client::machine;
use poolproof_model::component::Component;
use poolproof_model::target::Target;
use poolproof_model::workload::Workload;
use poolproof_model::workload::trace::Trace;
use poolproof_records::environment::Environment;
use poolproof_records::limits;
use poolproof_records::load::{Record, Worker};

/// Where load goes and how it is sent: what all runs of one command share.
pub struct Runner<'a> {
    /// The name of the stack.
    pub stack: &'a str,
    /// What the stack consists of.
    pub components: &'a [Component],
    /// Its addresses.
    pub target: &'a Target,
    /// The name of the defect that is switched on, if any.
    pub flaw: Option<String>,
    /// The machine of the client, before the stack was started.
    pub environment: &'a Environment,
    /// Local addresses to connect from, in turn.
    pub sources: &'a [IpAddr],
    /// The words of prompts, if they are made for a tokenizer.
    pub vocabulary: Option<&'a Vocabulary>,
    /// Sending threads of this process, or of each worker [default: one per processor].
    pub threads: Option<usize>,
    /// The seed of schedules and requests.
    pub seed: u64,
    /// Whether an open-loop run ends early once requests have piled up.
    pub stop_when_saturated: bool,
    /// The workers that send; `None` if this process sends.
    pub workers: Option<&'a dyn Workers>,
    /// Ends a run early when cancelled.
    pub stop: &'a CancellationToken,
    /// Receives a message as soon as a worker is lost.
    pub tell: Box<dyn Fn(&str) + 'a>,
}

/// What is sent in one run.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// The name of its workload.
    pub name: &'a str,
    /// The workload.
    pub workload: &'a Workload,
    /// The trace of a workload that has one.
    pub trace: Option<&'a Trace>,
    /// Addresses to use in turn instead of the gateway.
    pub urls: &'a [Url],
    /// Added to the seed of the [`Runner`].
    pub seed: u64,
}

/// The result of a run.
pub struct Sent {
    /// The measurements.
    pub measured: Measured,
    /// Whether the run ended early because requests had piled up.
    pub saturated: bool,
    /// The workers, if several processes sent.
    pub workers: Vec<Worker>,
}

impl Runner<'_> {
    /// Sends a workload; `watch` receives the progress once a second. A workload that cannot be sent is a usage error.
    pub async fn send(
        &self,
        run: Run<'_>,
        watch: &mut (dyn FnMut(&Snapshot) + Send),
    ) -> Result<Sent, Error> {
        let gateway = [self.target.url.clone()];
        let sender = Sender {
            urls: match run.urls {
                [] => &gateway,
                urls => urls,
            },
            sources: self.sources,
            vocabulary: self.vocabulary,
            threads: self.threads.unwrap_or_else(limits::cores),
            seed: self.seed_of(run),
            part: Part::whole(),
        };
        let stop = self.stop.child_token();
        let mut saturation = Saturation::default();
        let watched = self.stop_when_saturated && run.workload.arrival.users().is_none();
        let mut watch = |now: &Snapshot| {
            watch(now);
            if saturation.watch(now.in_flight()) && watched {
                stop.cancel();
            }
        };
        let (measured, workers) = match self.workers {
            Some(workers) => {
                let sending = distribute(workers, run, self.target, sender, self.threads);
                let sending = sending.map_err(Error::Usage)?;
                workers::run(workers, sending, &stop, &mut watch, &self.tell).await?
            }
            None => {
                let workload = run.workload.clone();
                let job = Job::new(workload, run.trace.cloned(), self.target, sender);
                let job = job.await.map_err(Error::Usage)?;
                (engine::run(job, &stop, &mut watch).await?, Vec::new())
            }
        };
        Ok(Sent {
            measured,
            saturated: stop.is_cancelled() && !self.interrupted(),
            workers,
        })
    }

    /// Sends a workload and builds its record.
    pub async fn record(
        &self,
        run: Run<'_>,
        watch: &mut (dyn FnMut(&Snapshot) + Send),
    ) -> Result<Record, Error> {
        machine::watch();
        let window_s = window_s(run.workload.end_s(run.trace));
        let interval = Duration::from_secs_f64(window_s);
        let follower =
            Follower::start(self.target, run.workload, interval).map_err(Error::Usage)?;
        let Sent {
            measured,
            saturated,
            workers,
        } = self.send(run, watch).await?;
        let followed = follower.end(measured.start).await;
        let about = About {
            name: run.name,
            workload: run.workload.clone(),
            seed: self.seed_of(run),
            stack: self.stack,
            components: self.components,
            target: self.target,
            flaw: self.flaw.clone(),
            end_s: run.workload.end_s(run.trace),
            interrupted: self.interrupted(),
            saturated,
            tokenizer: self.vocabulary.map(|it| it.tokenizer.clone()),
            environment: self.environment.clone(),
            workers,
            followed,
        };
        Ok(make::record(about, &measured))
    }

    /// Whether sending was interrupted from outside.
    pub fn interrupted(&self) -> bool {
        self.stop.is_cancelled()
    }

    fn seed_of(&self, run: Run<'_>) -> u64 {
        self.seed.wrapping_add(run.seed)
    }
}
