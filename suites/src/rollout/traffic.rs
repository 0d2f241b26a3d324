//! Traffic in every form while something changes: both APIs, streamed and not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result};
use poolproof_cases::context::Context;
use poolproof_client::{Connections, Exchange, Request, drive, poll};
use poolproof_model::target::Model;
use rand_chacha::ChaCha8Rng;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::mix::Kind;
use crate::ways::{STREAMS, WHOLE};

/// Requests that are open at once.
pub(super) const IN_FLIGHT: usize = 8;
/// The tokens of an answer: enough that a cut shows.
pub(super) const TOKENS: u32 = 8;
/// Requests of one case, at most.
pub(super) const REQUESTS_MAX: usize = 50_000;

/// The forms, in the order in which they are sent.
const FORMS: [Kind; 4] = [WHOLE[0], WHOLE[1], STREAMS[0], STREAMS[1]];

/// Requests for a model, in all forms in turn, without end.
pub(super) struct Forms {
    model: Model,
    tokens: u32,
    timeout: std::time::Duration,
    rng: ChaCha8Rng,
    number: usize,
}

impl Forms {
    /// Requests for `tokens` tokens each.
    pub(super) fn new(ctx: &Context, model: &Model, tokens: u32, purpose: &str) -> Self {
        Self {
            model: model.clone(),
            tokens,
            timeout: ctx.timeouts.request,
            rng: ctx.rng(purpose),
            number: 0,
        }
    }

    /// The same, but given up when a refusal should have come.
    pub(super) fn given_up_after_refusal(self, ctx: &Context) -> Self {
        Self {
            timeout: ctx.timeouts.refusal,
            ..self
        }
    }
}

impl Iterator for Forms {
    type Item = Request;

    fn next(&mut self) -> Option<Request> {
        let number = self.number;
        self.number += 1;
        let kind = FORMS[number % FORMS.len()];
        let request = kind.with_usage(&self.model.name, self.tokens, &mut self.rng);
        Some(request.timeout(self.timeout))
    }
}

/// Traffic that goes on until it is stopped.
pub(super) struct Traffic {
    stop: CancellationToken,
    sent: Arc<AtomicUsize>,
    task: AbortOnDropHandle<Vec<Exchange>>,
}

impl Traffic {
    /// Starts traffic for a model, with [`IN_FLIGHT`] requests of `tokens` tokens open at once.
    pub(super) fn start(ctx: &Context, model: &Model, tokens: u32) -> Result<Self> {
        let client = ctx.client(Connections::KeepAlive)?;
        let (stop, sent) = (CancellationToken::new(), Arc::new(AtomicUsize::new(0)));
        let requests = Forms::new(ctx, model, tokens, "traffic").take(REQUESTS_MAX);
        let (stopped, count) = (stop.clone(), sent.clone());
        let requests = requests
            .take_while(move |_| !stopped.is_cancelled())
            .inspect(move |_| {
                count.fetch_add(1, Ordering::Relaxed);
            });
        let task =
            tokio::spawn(async move { drive::closed_loop(&client, IN_FLIGHT, requests).await });
        Ok(Self {
            stop,
            sent,
            task: AbortOnDropHandle::new(task),
        })
    }

    /// Waits until `n` more requests were sent. Returns whether they were, within the time for a recovery.
    pub(super) async fn more(&self, ctx: &Context, n: usize) -> bool {
        let wanted = self.sent.load(Ordering::Relaxed) + n;
        let what = format!("{n} more requests were sent");
        let sent = poll::until(what, ctx.timeouts.recovery, poll::INTERVAL, || async {
            (self.sent.load(Ordering::Relaxed) >= wanted).then_some(())
        });
        sent.await.is_ok()
    }

    /// Sends no more, and waits for all answers. They come in the order in which they were sent.
    pub(super) async fn stop(self) -> Result<Vec<Exchange>> {
        self.stop.cancel();
        self.task.await.context("the traffic of a case")
    }
}
