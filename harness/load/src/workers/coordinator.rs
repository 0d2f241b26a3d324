//! The coordinator of a run: assigns the parts, starts all workers at one moment, and merges their measurements.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures_util::future::{BoxFuture, join_all, try_join_all};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::clock::{Clock, Offset};
use super::remote::Remote;
use super::{Address, Assignment, HandedOver};
use crate::engine::{Measured, Snapshot};
use crate::recorder::Recorder;
use crate::schedule::Schedule;
use poolproof_client::lock::lock;
use poolproof_model::workload::Workload;
use poolproof_model::workload::trace::Trace;
use poolproof_records::load::Worker;

/// From the moment when all workers are ready to the start. Each gets the time of the start within one round trip of its clock request.
const LEAD: Duration = Duration::from_millis(300);
/// How often progress is reported.
const WATCHED_EVERY: Duration = Duration::from_secs(1);
/// How often a worker is polled: more often than progress is reported, so that no report repeats the last; and faster once no request
/// is due any more.
const ASKED_EVERY: Duration = Duration::from_millis(500);
const ASKED_AT_THE_END_EVERY: Duration = Duration::from_millis(100);
/// A worker that is running but has not answered for this long is lost.
const UNHEARD_MAX: Duration = Duration::from_secs(20);

/// Workers that run, wherever that is.
pub trait Workers: Sync {
    /// Where they are reached, in the order of their parts.
    fn addresses(&self) -> &[Address];

    /// Whether they are pods, with processors and addresses of their own, and not processes of this machine.
    fn are_pods(&self) -> bool;

    /// The gateway's address for them, if it differs from that of the target.
    fn gateway(&self) -> Option<&Url>;

    /// How a worker has ended, if it has.
    fn gone(&self, number: usize) -> BoxFuture<'_, Option<String>>;
}

/// What a run sends, and for how long.
pub struct Sending<'a> {
    /// The assignment of every worker, except for its part.
    pub assignment: Assignment,
    /// The workload that it was made of.
    pub workload: &'a Workload,
    /// The trace of it.
    pub trace: Option<&'a Trace>,
}

/// Sends a workload from all workers, and waits until each has returned its measurements or is lost. `watch` receives the progress once
/// a second; `tell` receives a message as soon as a worker is lost.
pub async fn run(
    workers: &dyn Workers,
    sending: Sending<'_>,
    stop: &CancellationToken,
    watch: &mut (dyn FnMut(&Snapshot) + Send),
    tell: &dyn Fn(&str),
) -> Result<(Measured, Vec<Worker>)> {
    let clock = Clock::new();
    let count = workers.addresses().len();
    let remotes = workers.addresses().iter().map(|it| Remote::new(&it.url));
    let remotes: Vec<Remote> = remotes.collect::<Result<_>>()?;
    let parts = remotes.iter().enumerate().map(|(index, remote)| {
        let (name, part) = (
            &workers.addresses()[index].name,
            sending.assignment.of(index, count),
        );
        async move {
            let assigned = async {
                remote.assign(&part).await?;
                remote.offset(&clock).await
            };
            assigned.await.with_context(|| name.clone())
        }
    });
    let offsets: Vec<Offset> = try_join_all(parts).await?;
    let slowest_us = offsets.iter().map(|it| 2 * it.uncertainty_us).max();
    let lead_us = LEAD.as_micros() as i64 + 4 * slowest_us.unwrap_or(0);
    let start_us = clock.now_us() + lead_us;
    let start = clock.moment(start_us);

    let end = start + Duration::from_secs_f64(sending.workload.end_s(sending.trace));
    let heard: Vec<Mutex<Snapshot>> = (0..count).map(|_| Mutex::default()).collect();
    let following = remotes.iter().enumerate().map(|(index, remote)| {
        let following = Following {
            remote,
            workers,
            index,
            heard: &heard[index],
            end,
            stop,
        };
        let at_us = start_us + offsets[index].us;
        async move {
            let ended = following.to_the_end(at_us).await;
            if let Err(lost) = &ended {
                tell(&format!(
                    "{} is lost: {lost}",
                    workers.addresses()[index].name
                ));
            }
            ended
        }
    });
    let mut following = std::pin::pin!(join_all(following));
    let sum = || -> Snapshot { heard.iter().map(|it| lock(it).clone()).sum() };
    let mut tick = tokio::time::interval_at(start.into(), WATCHED_EVERY);
    let ended = loop {
        tokio::select! {
            ended = &mut following => break ended,
            _ = tick.tick() => watch(&sum()),
        }
    };
    watch(&sum());

    let started = Timestamp::from_microsecond(start_us).context("the time of the start")?;
    let planned = planned(&sending, count);
    let parts = ended.into_iter().enumerate().map(|(index, ended)| {
        let offset = offsets[index];
        let worker = Worker {
            name: workers.addresses()[index].name.clone(),
            place: workers.addresses()[index].place.clone(),
            planned: planned.as_ref().map(|it| it[index]),
            sent: lock(&heard[index]).started,
            clock_offset_ms: offset.us as f64 / 1000.0,
            clock_uncertainty_ms: offset.uncertainty_us as f64 / 1000.0,
            cores: None,
            cpu_ms: None,
            lost: None,
        };
        (worker, ended)
    });
    Ok(put_together((started, start), parts))
}

/// The merged measurements of all workers that are not lost, and the record of each worker.
fn put_together(
    (started, start): (Timestamp, Instant),
    parts: impl Iterator<Item = (Worker, Result<HandedOver, String>)>,
) -> (Measured, Vec<Worker>) {
    let mut measured = Measured {
        started,
        start,
        recorder: Recorder::default(),
        costs: Vec::new(),
        started_requests: 0,
        unfinished: 0,
    };
    let mut workers = Vec::new();
    for (mut worker, ended) in parts {
        match ended {
            Ok(handed_over) => {
                worker.sent = handed_over.started_requests;
                worker.cores = Some(handed_over.cores);
                worker.cpu_ms = Some(handed_over.costs.iter().map(|it| it.cpu_ms).sum());
                measured.recorder.merge(handed_over.recorder);
                measured.costs.extend(handed_over.costs);
                measured.started_requests += handed_over.started_requests;
                measured.unfinished += handed_over.unfinished;
            }
            Err(lost) => worker.lost = Some(lost),
        }
        workers.push(worker);
    }
    (measured, workers)
}

/// How many requests the part of each worker has; `None` where that depends on the server.
fn planned(sending: &Sending<'_>, count: usize) -> Option<Vec<u64>> {
    let workload = sending.workload;
    if workload.arrival.users().is_some() {
        return None;
    }
    let mut planned = vec![0; count];
    let end_s = workload.end_s(sending.trace);
    let seed = sending.assignment.seed;
    for due in Schedule::new(&workload.arrival, sending.trace, seed, end_s) {
        planned[due.number as usize % count] += 1;
    }
    Some(planned)
}

/// One worker, from the start to the end of a run.
struct Following<'a> {
    remote: &'a Remote,
    workers: &'a dyn Workers,
    index: usize,
    heard: &'a Mutex<Snapshot>,
    /// When the last request is due.
    end: Instant,
    stop: &'a CancellationToken,
}

impl Following<'_> {
    /// Starts it and waits for its measurements; the error is why it is lost.
    async fn to_the_end(&self, start_us: i64) -> Result<HandedOver, String> {
        let started = self.remote.start(start_us).await;
        if let Err(error) = started {
            let gone = self.workers.gone(self.index).await;
            return Err(gone.unwrap_or_else(|| format!("{error:#}")));
        }
        let mut heard_at = Instant::now();
        let (mut stopping, mut stopped) = (false, false);
        loop {
            let left = self.end.saturating_duration_since(Instant::now());
            let pause = if stopping || left.is_zero() {
                ASKED_AT_THE_END_EVERY
            } else {
                ASKED_EVERY.min(left)
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.stop.cancelled(), if !stopping => stopping = true,
            }
            if stopping && !stopped {
                stopped = self.remote.stop().await.is_ok();
            }
            let heard = self.hear().await;
            match heard {
                Ok(Some(handed_over)) => return Ok(handed_over),
                Ok(None) => heard_at = Instant::now(),
                Err(error) => {
                    if let Some(gone) = self.workers.gone(self.index).await {
                        return Err(gone);
                    }
                    if heard_at.elapsed() > UNHEARD_MAX {
                        return Err(format!("no answer for {UNHEARD_MAX:?}: {error:#}"));
                    }
                }
            }
        }
    }

    /// Fetches its progress, and its measurements if it is done.
    async fn hear(&self) -> Result<Option<HandedOver>> {
        let progress = self.remote.progress().await?;
        *lock(self.heard) = progress.live;
        if progress.done {
            self.remote.result().await.map(Some)
        } else {
            Ok(None)
        }
    }
}
