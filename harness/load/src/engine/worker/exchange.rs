//! One request, from connecting to recording.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::Worker;
use super::watch::{Gaps, Watch};
use crate::answer::{Answered, Asked};
use crate::engine::connections::Connection;
use crate::failure::{Failed, Failure};
use crate::http1::{self, Outcome};
use crate::http2::{self, Again};
use crate::recorder::Good;
use crate::requests::{Built, Conversation};
use crate::schedule::Due;
use poolproof_model::workload::Series;

impl Worker {
    /// Performs one request, of a conversation if there is one, from connecting to recording. It was due at `moment`, and begins now.
    pub(super) async fn perform(
        &self,
        due: Due,
        moment: Instant,
        now: Instant,
        of: Option<&Conversation>,
    ) -> Performed {
        self.live.started();
        self.recorder.borrow_mut().windows.started(now);
        let server = (due.number % self.job.servers.len() as u64) as usize;
        let (connection, reused) = match self.connections.take(server) {
            Some(connection) => (Ok(connection), true),
            // Rare and large: boxed, so that it does not enlarge every request's future.
            None => (Box::pin(self.connect(due, server)).await, false),
        };
        let built = {
            let wire = &mut self.wire.borrow_mut();
            match of {
                Some(conversation) => self.job.requests.build_turn(due.number, conversation, wire),
                None => self.job.requests.build(due, wire),
            }
        };
        let built = Built {
            asked: Asked {
                tokens: Some(built.output_tokens),
                strict: self.job.workload.strict,
                ..built.asked
            },
            ..built
        };
        let mut watch = Watch {
            worker: self,
            due,
            class: built.class,
            model: built.model,
            place: None,
            retry_after: None,
            gaps: Gaps::default(),
            beyond: self.job.gap_limits(built.class).map(|_| 0).collect(),
        };
        let sent_at = Instant::now();
        let (mut answered, ended_at) = match connection {
            Ok(connection) => self.exchange(connection, server, built, &mut watch).await,
            Err(failed) => (Err(failed), Instant::now()),
        };
        if reused {
            answered = answered.map_err(when_reused);
        }
        let performed = Performed::new(&answered, watch.retry_after);
        let times = Times {
            moment,
            sent_at,
            ended_at,
        };
        let times = answered.as_ref().map(|it| times.of(it)).unwrap_or_default();
        let ttft = answered.as_ref().ok().and_then(|it| it.first_token_at);
        match &answered {
            Ok(_) => self.live.answered(ttft.map(|at| at - moment)),
            Err(_) => self.live.failed(),
        }
        self.count(
            &answered,
            &times,
            ended_at,
            (watch.place, built.asked.stream),
        );
        let text = answered
            .as_mut()
            .ok()
            .map(|it| std::mem::take(&mut it.text));
        if self.counts(due) {
            let place = watch.place();
            if answered.is_ok() {
                watch.keep_gaps(place);
            }
            self.record(place, due, built, answered, &times);
        }
        Performed { text, ..performed }
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
                let exchange = self.shared(connection, server, built, body, watch);
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

    /// Sends a request over a shared connection. If the server has certainly not processed it, it is sent once more, over a new
    /// connection (RFC 9113, section 8.7).
    async fn shared(
        &self,
        connection: &mut http2::Connection,
        server: usize,
        built: Built,
        body: Bytes,
        watch: &mut Watch<'_>,
    ) -> Outcome {
        let number = watch.due.number;
        let request = || self.job.requests.http2(built.class, number, body.len());
        let first = connection.exchange(request(), body.clone(), built.asked, watch);
        let first = first.await;
        if first.again == Again::No {
            return first;
        }
        if first.again == Again::Refused && self.counts(watch.due) {
            self.recorder.borrow_mut().extra.resent += 1;
        }
        match self.connect(watch.due, server).await {
            Ok(Connection::Two(mut other)) => {
                let second = other.exchange(request(), body.clone(), built.asked, watch);
                second.await
            }
            Ok(Connection::One(_)) | Err(_) => first,
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

    /// Counts a request that has ended, of the warm-up as well.
    fn count(
        &self,
        answered: &Result<Answered, Failed>,
        times: &Measured,
        ended_at: Instant,
        (place, is_stream): (Option<usize>, bool),
    ) {
        let recorder = &mut *self.recorder.borrow_mut();
        match answered {
            Ok(answered) => {
                recorder.serves(place);
                let good = Good {
                    output_tokens: answered.output_tokens(),
                    tokens: answered.first_token_at.zip(answered.last_token_at),
                    is_textless: is_stream && answered.first_token_at.is_none(),
                    times,
                };
                recorder.windows.answered(ended_at, good);
            }
            Err(failed) => recorder.windows.failed(ended_at, failed.kind),
        }
    }

    fn record(
        &self,
        place: usize,
        due: Due,
        built: Built,
        answered: Result<Answered, Failed>,
        times: &Measured,
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
        cell.asked_tokens += u64::from(built.output_tokens);
        for remark in answered.remarks.iter() {
            cell.remarks[remark as usize] += 1;
        }
        match answered.usage {
            Some((input, _)) => cell.input_tokens += input,
            None => cell.without_usage += 1,
        }
        let limits = &self.job.limits[built.class];
        // A time that never came is within no limit.
        let is_textless = built.asked.stream && answered.first_token_at.is_none();
        cell.textless += u64::from(is_textless);
        let never = |series: Series| match series {
            Series::Ttfa => {
                is_textless || (answered.reasoned && answered.first_answer_at.is_none())
            }
            series => is_textless && series.needs_stream(),
        };
        let mut good = !limits.iter().any(|(series, _)| never(*series));
        for (series, time) in times.iter().flatten() {
            cell.record(*series, *time);
            let over = |limit: &(Series, Duration)| limit.0 == *series && *time > limit.1;
            good &= !limits.iter().any(over);
        }
        cell.good += u64::from(good);
    }
}

/// What became of a request.
#[derive(Debug, Default)]
pub(super) struct Performed {
    /// The text of a whole answer, if it was kept.
    pub(super) text: Option<Vec<u8>>,
    /// Whether it failed.
    pub(super) failed: bool,
    /// When the server wants to be asked again, if it refused the request and named a time.
    pub(super) retry_after: Option<Duration>,
}

impl Performed {
    fn new(answered: &Result<Answered, Failed>, retry_after: Option<Duration>) -> Self {
        Self {
            text: None,
            failed: answered.is_err(),
            retry_after: retry_after.filter(|_| answered.is_err()),
        }
    }
}

/// A failure on a connection that was kept: the server may have closed it as the request left, which is no fault of the request (RFC
/// 9112, section 9.3.1).
fn when_reused(failed: Failed) -> Failed {
    if failed.kind != Failure::ClosedBeforeAnswer {
        return failed;
    }
    let detail = format!(
        "{}, on a connection that was kept from an earlier request: `new_connections = true` in the workload opens one for each",
        failed.detail
    );
    Failed::new(Failure::ClosedWhenReused, detail)
}

/// The times that are measured once per answer.
type Measured = [Option<(Series, Duration)>; 7];

/// When the parts of an exchange took place.
#[derive(Clone, Copy)]
struct Times {
    moment: Instant,
    sent_at: Instant,
    ended_at: Instant,
}

impl Times {
    /// The times that are measured once per answer.
    fn of(self, answered: &Answered) -> Measured {
        let output = answered.output_tokens();
        let first = answered.first_token_at;
        let from_send = first.map(|at| at - self.sent_at);
        let first_answer = answered.first_answer_at.filter(|_| answered.reasoned);
        // The end of the connection, or a usage that comes late, is no part of the answer.
        let ended_at = answered.ended_at.unwrap_or(self.ended_at);
        let e2e_from_send = ended_at - self.sent_at;
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
            Some((Series::E2e, ended_at - self.moment)),
            Some((Series::E2eFromSend, e2e_from_send)),
            tpot.map(|tpot| (Series::Tpot, tpot)),
            itl_token.map(|itl| (Series::ItlToken, itl)),
            first_answer.map(|at| (Series::Ttfa, at - self.moment)),
        ]
    }
}
