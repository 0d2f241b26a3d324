//! A worker: one thread, with a runtime, connections and a recorder of its own. It shares nothing with others while it measures.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::Bytes;
use tokio::task::LocalSet;
use tokio_util::sync::CancellationToken;

use super::Job;
use super::connections::{Connection, Connections};
use super::live::Live;
use super::pacer::Pacer;
use crate::answer::Answered;
use crate::failure::{Failed, Failure};
use crate::http1::{self, Buffer, Listener};
use crate::recorder::{Key, Recorder};
use crate::requests::{Built, Conversation};
use crate::schedule::Due;
use poolproof_model::workload::{Arrival, Series};
use poolproof_stats::clusters::Clusters;

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
        Rc::new(Self {
            connections: Connections::new(job.clone(), index),
            job,
            index,
            live,
            stop,
            buffer: http1::buffer(),
            wire: RefCell::default(),
            recorder: RefCell::default(),
        })
    }

    /// Its connections.
    pub(super) fn connections(&self) -> &Connections {
        &self.connections
    }

    /// Sends its share of the requests; returns when all of them have ended. The clock runs from `start`.
    pub(super) async fn work(self: &Rc<Self>, start: Instant) -> Result<()> {
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
            () = self.stop.cancelled() => return Ok(()),
        }
        tokio::select! {
            () = tasks => {}
            () = self.stop.cancelled() => {}
        }
        Ok(())
    }

    /// Its measurements.
    pub(super) fn into_recorder(self: Rc<Self>) -> Recorder {
        self.recorder.take()
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
        self.leaves(due, moment.elapsed());
        self.perform(due, moment, None).await;
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
            self.perform(due, now, None).await;
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
                let text = self.perform(due, moment, Some(&conversation)).await;
                // A failed answer ends the conversation, since nothing can continue it.
                let Some(text) = text.filter(|_| !conversation.is_over()) else {
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

    /// Performs one request, of a conversation if there is one, from connecting to recording. Returns the text of a whole answer, if
    /// it was kept.
    pub(super) async fn perform(
        &self,
        due: Due,
        moment: Instant,
        of: Option<&Conversation>,
    ) -> Option<Vec<u8>> {
        self.live.started();
        let server = (due.number % self.job.servers.len() as u64) as usize;
        let connection = match self.connections.take(server) {
            Some(connection) => Ok(connection),
            // Rare and large: boxed, so that it does not enlarge every request's future.
            None => Box::pin(self.connect(due, server)).await,
        };
        let built = {
            let wire = &mut self.wire.borrow_mut();
            match of {
                Some(conversation) => self.job.requests.build_turn(due.number, conversation, wire),
                None => self.job.requests.build(due, wire),
            }
        };
        let mut watch = Watch {
            worker: self,
            due,
            class: built.class,
            model: built.model,
            place: None,
            gaps: 0,
            beyond: self.job.gap_limits(built.class).map(|_| 0).collect(),
        };
        let sent_at = Instant::now();
        let (mut answered, ended_at) = match connection {
            Ok(connection) => self.exchange(connection, server, built, &mut watch).await,
            Err(failed) => (Err(failed), Instant::now()),
        };
        let ttft = answered.as_ref().ok().and_then(|it| it.first_token_at);
        match &answered {
            Ok(_) => self.live.answered(ttft.map(|at| at - moment)),
            Err(_) => self.live.failed(),
        }
        let text = answered
            .as_mut()
            .ok()
            .map(|it| std::mem::take(&mut it.text));
        if self.counts(due) {
            let place = watch.place();
            watch.keep_gaps(place);
            let times = Times {
                moment,
                sent_at,
                ended_at,
            };
            self.record(place, due, built.class, answered, times);
        }
        text
    }

    async fn exchange(
        &self,
        mut connection: Connection,
        server: usize,
        built: Built,
        watch: &mut Watch<'_>,
    ) -> (Result<Answered, Failed>, Instant) {
        let limit = Duration::from_secs_f64(self.job.workload.timeout_s);
        let ended = match &mut connection {
            Connection::One(connection) => {
                let exchange = async {
                    // If sending fails, the answer has the reason: a server may refuse a body before it has all of it.
                    let _ = connection.send(&self.wire).await;
                    http1::receive(connection, &self.buffer, built.asked, watch).await
                };
                tokio::time::timeout(limit, exchange).await
            }
            Connection::Two(connection) => {
                let body = Bytes::copy_from_slice(&self.wire.borrow());
                let origin = self.job.servers[server].origin();
                let (class, number) = (built.class, watch.due.number);
                let request = self.job.requests.http2(class, number, origin, body);
                let exchange = connection.exchange(request, built.asked, watch);
                tokio::time::timeout(limit, Box::pin(exchange)).await
            }
        };
        match ended {
            Ok(outcome) => {
                if outcome.reusable {
                    self.connections.keep(connection, server);
                }
                (outcome.answered, outcome.ended_at)
            }
            Err(_) => {
                let failed =
                    Failed::new(Failure::TimedOut, format!("not answered within {limit:?}"));
                (Err(failed), Instant::now())
            }
        }
    }

    /// A new connection for a request.
    async fn connect(&self, due: Due, server: usize) -> Result<Connection, Failed> {
        let began = Instant::now();
        let connection = self.connections.open(server).await?;
        if self.counts(due) {
            self.recorder.borrow_mut().connect.record(began.elapsed());
        }
        Ok(connection)
    }

    fn record(
        &self,
        place: usize,
        due: Due,
        class: usize,
        answered: Result<Answered, Failed>,
        times: Times,
    ) {
        let mut recorder = self.recorder.borrow_mut();
        let answered = match answered {
            Ok(answered) => answered,
            Err(failed) => return recorder.failed(place, due.number, failed),
        };
        let cell = recorder.at(place);
        cell.requests += 1;
        cell.answered += 1;
        cell.chunks += answered.chunks;
        cell.together += answered.together;
        cell.output_tokens += answered.output_tokens();
        match answered.usage {
            Some((input, _)) => cell.input_tokens += input,
            None => cell.without_usage += 1,
        }
        let mut good = true;
        let limits = &self.job.limits[class];
        for (series, time) in times.of(&answered).into_iter().flatten() {
            cell.record(series, time);
            let over = |limit: &(Series, Duration)| limit.0 == series && time > limit.1;
            good &= !limits.iter().any(over);
        }
        cell.good += u64::from(good);
    }
}

/// When the parts of an exchange took place.
#[derive(Clone, Copy)]
struct Times {
    moment: Instant,
    sent_at: Instant,
    ended_at: Instant,
}

impl Times {
    /// The times that are measured once per answer.
    fn of(self, answered: &Answered) -> [Option<(Series, Duration)>; 6] {
        let output = answered.output_tokens();
        let first = answered.first_token_at;
        let from_send = first.map(|at| at - self.sent_at);
        let e2e_from_send = self.ended_at - self.sent_at;
        let tpot = from_send
            .filter(|_| output > 1)
            .map(|ttft| (e2e_from_send - ttft).div_f64((output - 1) as f64));
        let spread = first
            .zip(answered.last_token_at)
            .map(|(first, last)| last - first);
        let behind_first = output as f64 * (1.0 - 1.0 / answered.chunks.max(1) as f64);
        let itl_token = spread
            .filter(|_| answered.chunks > 1)
            .map(|spread| spread.div_f64(behind_first));
        [
            first.map(|at| (Series::Ttft, at - self.moment)),
            from_send.map(|ttft| (Series::TtftFromSend, ttft)),
            Some((Series::E2e, self.ended_at - self.moment)),
            Some((Series::E2eFromSend, e2e_from_send)),
            tpot.map(|tpot| (Series::Tpot, tpot)),
            itl_token.map(|itl| (Series::ItlToken, itl)),
        ]
    }
}

/// Listens to one answer and records its gaps.
struct Watch<'a> {
    worker: &'a Worker,
    due: Due,
    class: usize,
    model: usize,
    place: Option<usize>,
    /// Gaps so far.
    gaps: u64,
    /// Of these, those beyond each limit that the class has for them.
    beyond: Vec<u64>,
}

impl Watch<'_> {
    fn place_of(&self, served_by: Option<&[u8]>) -> usize {
        let mut recorder = self.worker.recorder.borrow_mut();
        let names = &self.worker.job.names;
        let endpoint = served_by.and_then(|it| recorder.endpoint(names.endpoint_of(it)));
        recorder.place(Key {
            stage: self.due.stage,
            class: self.class,
            model: self.model,
            endpoint,
        })
    }

    fn place(&self) -> usize {
        self.place.unwrap_or_else(|| self.place_of(None))
    }

    /// Records the gaps of the whole answer, for each limit that the class has for them.
    fn keep_gaps(&self, place: usize) {
        let mut recorder = self.worker.recorder.borrow_mut();
        let limits = self.worker.job.gap_limits(self.class);
        for (limit, beyond) in limits.zip(&self.beyond) {
            let answers: &mut Clusters = recorder.at(place).gaps.entry(limit).or_default();
            answers.add(self.gaps, *beyond);
        }
    }
}

impl Listener for Watch<'_> {
    fn served_by_header(&self) -> &str {
        self.worker.job.names.header()
    }

    fn head(&mut self, served_by: Option<&[u8]>) {
        self.place = Some(self.place_of(served_by));
    }

    fn gap(&mut self, gap: Duration) {
        if self.worker.counts(self.due) {
            let mut recorder = self.worker.recorder.borrow_mut();
            let place = self.place.unwrap_or_default();
            recorder.at(place).record(Series::ItlChunk, gap);
            self.gaps += 1;
            let limits = self.worker.job.gap_limits(self.class);
            for (limit, beyond) in limits.zip(&mut self.beyond) {
                *beyond += u64::from(gap > limit);
            }
        }
    }
}
