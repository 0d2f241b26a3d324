//! A worker: one thread, with a runtime, connections and a recorder of its own. It shares nothing with others while it measures.

mod exchange;
mod pause;
mod watch;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::task::LocalSet;
use tokio_util::sync::CancellationToken;

use super::Job;
use super::connections::Connections;
use super::live::{Live, PUBLISHED_EVERY};
use super::pacer::Pacer;
use crate::http1::{self, Buffer};
use crate::recorder::{Recorder, window_s};
use crate::schedule::Due;
use pause::Patience;
use poolproof_model::workload::Arrival;

/// A worker, on its thread.
pub(super) struct Worker {
    job: Arc<Job>,
    /// Its place among the workers.
    index: usize,
    live: Arc<Live>,
    stop: CancellationToken,
    buffer: Buffer,
    wire: RefCell<Vec<u8>>,
    connections: Connections,
    recorder: RefCell<Recorder>,
}

/// Requests that a late pacer starts before it yields to other tasks.
const STARTED_AT_ONCE: usize = 16;

impl Worker {
    pub(super) fn new(
        job: Arc<Job>,
        index: usize,
        live: Arc<Live>,
        stop: CancellationToken,
    ) -> Rc<Self> {
        let recorder = Recorder::with_windows(window_s(job.end_s));
        Rc::new(Self {
            connections: Connections::new(job.clone(), index),
            job,
            index,
            live,
            stop,
            buffer: http1::buffer(),
            wire: RefCell::default(),
            recorder: RefCell::new(recorder),
        })
    }

    /// Its connections.
    pub(super) fn connections(&self) -> &Connections {
        &self.connections
    }

    /// Sends its share of the requests; returns when all of them have ended. The clock runs from `start`.
    pub(super) async fn work(self: &Rc<Self>, start: Instant) -> Result<()> {
        self.recorder.borrow_mut().windows.begin(start);
        let publishing = self.publish();
        tokio::pin!(publishing);
        let tasks = LocalSet::new();
        let begun = tasks.run_until(async {
            match self.job.workload.arrival {
                Arrival::Sessions { users, .. } => {
                    for user in self.job.own(users, self.index) {
                        tokio::task::spawn_local(self.clone().converse(start, user, users));
                    }
                    Ok(())
                }
                Arrival::Closed { users, think_ms } => {
                    for user in self.job.own(users, self.index) {
                        let think = Duration::from_millis(think_ms);
                        tokio::task::spawn_local(self.clone().user(start, user, users, think));
                    }
                    Ok(())
                }
                _ => self.pace(start).await,
            }
        });
        tokio::select! {
            begun = begun => begun?,
            () = &mut publishing => {}
            () = self.stop.cancelled() => return Ok(()),
        }
        tokio::select! {
            () = tasks => {}
            () = &mut publishing => {}
            () = self.stop.cancelled() => {}
        }
        self.live.publish(self.recorder.borrow().so_far());
        Ok(())
    }

    /// Publishes what was counted, again and again.
    async fn publish(&self) {
        let mut ticks = tokio::time::interval(PUBLISHED_EVERY);
        loop {
            ticks.tick().await;
            self.live.publish(self.recorder.borrow().so_far());
        }
    }

    /// Its measurements.
    pub(super) fn into_recorder(self: Rc<Self>) -> Recorder {
        let mut recorder = self.recorder.take();
        recorder.windows.end(Instant::now());
        recorder
    }

    /// Starts every request of its share when it is due, or at once if it is overdue. None is skipped.
    async fn pace(self: &Rc<Self>, start: Instant) -> Result<()> {
        let pacer = Pacer::new()?;
        let mut at_once = 0;
        let job = self.job.clone();
        for due in job.share_of(self.index) {
            let moment = start + Duration::from_nanos(due.at_ns);
            if moment > Instant::now() {
                pacer.until(moment).await?;
                at_once = 0;
            } else if at_once == STARTED_AT_ONCE {
                tokio::task::yield_now().await;
                at_once = 0;
            }
            at_once += 1;
            tokio::task::spawn_local(self.clone().paced(due, moment));
        }
        Ok(())
    }

    async fn paced(self: Rc<Self>, due: Due, moment: Instant) {
        let now = Instant::now();
        self.leaves(due, now - moment);
        self.perform(due, moment, now, None).await;
    }

    /// Records by how much a request is late.
    pub(super) fn leaves(&self, due: Due, late: Duration) {
        if self.counts(due) {
            self.recorder.borrow_mut().lag.record(late);
        }
    }

    /// A user of a closed loop.
    async fn user(self: Rc<Self>, start: Instant, user: usize, users: usize, think: Duration) {
        tokio::time::sleep_until(start.into()).await;
        let ends_at = start + Duration::from_secs_f64(self.job.end_s);
        let mut patience = Patience::default();
        for number in (user as u64..).step_by(users) {
            let now = Instant::now();
            let at_ns = (now - start).as_nanos() as u64;
            if at_ns as f64 >= self.job.end_s * 1e9 {
                return;
            }
            let due = Due {
                number,
                at_ns,
                stage: 0,
            };
            let performed = self.perform(due, now, now, None).await;
            self.pause(due, patience.after(&performed), ends_at).await;
            if !think.is_zero() {
                tokio::time::sleep(think).await;
            }
        }
    }

    /// A user who holds sessions in sequence until the run ends.
    async fn converse(self: Rc<Self>, start: Instant, user: usize, users: usize) {
        tokio::time::sleep_until(start.into()).await;
        let ends_at = start + Duration::from_secs_f64(self.job.end_s);
        let last_stage = self.job.workload.arrival.stage_count() - 1;
        let mut numbers = (user as u64..).step_by(users);
        let mut patience = Patience::default();
        for session in 1.. {
            let mut conversation = Box::new(self.job.requests.converse(user as u64, session));
            loop {
                let due_at = Instant::now() + conversation.think();
                let (true, Some(number)) = (due_at < ends_at, numbers.next()) else {
                    return;
                };
                tokio::time::sleep_until(due_at.into()).await;
                self.job.requests.begin_turn(&mut conversation);
                let moment = Instant::now();
                let due = Due {
                    number,
                    at_ns: (moment - start).as_nanos() as u64,
                    stage: conversation.turn().min(last_stage),
                };
                self.leaves(due, moment - due_at);
                let performed = self.perform(due, moment, moment, Some(&conversation)).await;
                self.pause(due, patience.after(&performed), ends_at).await;
                // A failed answer ends the conversation, since nothing can continue it.
                let Some(text) = performed.text.filter(|_| !conversation.is_over()) else {
                    break;
                };
                conversation.answered(&text);
            }
        }
    }

    /// Whether a request is due after the warm-up.
    fn counts(&self, due: Due) -> bool {
        due.at_ns as f64 >= self.job.workload.warm_up_s * 1e9
    }
}
