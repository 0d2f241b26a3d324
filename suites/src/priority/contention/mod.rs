//! Contention: endpoints filled with ballast, both classes held at the picker, then the ballast is taken away.
//!
//! It is shown, not assumed: requests wait at every endpoint for as long as classes are being held, and the picker (or, where
//! it does not say, the client's count less the endpoints') holds most of both.

mod arrivals;
mod saturate;
mod sent;
mod shown;

use std::time::Instant;

use anyhow::Result;
use poolproof_cases::ballast::wait_until_idle;
use poolproof_cases::context::Context;
use poolproof_cases::expect;
use poolproof_client::Exchange;
use poolproof_client::evidence::scrapes;
use poolproof_client::evidence::watch::Watch;
use poolproof_model::target::{Model, Pool};
use poolproof_model::verdict::Findings;

use super::stall::wait_while_fewer;
use crate::mix::Kinds;
use sent::{in_flight, send, sent_apart};
use shown::shown_held;

pub(super) use arrivals::EXPECTED;
pub(crate) use saturate::saturate;

/// One class of requests.
#[derive(Clone, Copy, Debug)]
pub(super) struct Class<'a> {
    /// Its name, for its thread and its requests.
    pub(super) name: &'a str,
    /// Its objective.
    pub(super) objective: Option<&'a str>,
    /// Its fairness id.
    pub(super) flow: Option<&'a str>,
    /// How many requests it sends.
    pub(super) requests: usize,
}

impl<'a> Class<'a> {
    /// A class of the flow to which requests without a fairness id belong.
    pub(super) fn new(name: &'a str, objective: Option<&'a str>, requests: usize) -> Self {
        Self {
            name,
            objective,
            flow: None,
            requests,
        }
    }
}

/// The order in which the requests of two classes are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SentIn {
    /// At random.
    AnyOrder,
    /// Those of the first class first.
    Turn,
}

/// What became of two classes that were held together.
pub(super) struct Held {
    /// The exchanges of the first class that ended, by the order in which they were sent.
    pub(super) first: Vec<Exchange>,
    /// Those of the second class.
    pub(super) second: Vec<Exchange>,
    /// The kinds of all of them.
    kinds: Kinds,
    /// Requests of each class that nobody answered: the client gave up when nothing moved any more.
    pub(super) lost: [usize; 2],
    /// When the ballast was taken away.
    pub(super) released_at: Instant,
    /// How it was shown that they were held.
    pub(super) shown: String,
    /// Why it is not contention that was measured, if it was not.
    pub(super) doubt: Option<String>,
}

/// Fills the endpoints, sends requests of all kinds in two classes through lanes of their own, shows that both are held, takes
/// the ballast away, and waits until all are served or nothing moves.
pub(super) async fn hold(
    ctx: &Context,
    model: &Model,
    pool: &Pool,
    classes: [Class<'_>; 2],
    order: SentIn,
) -> Result<Held> {
    for endpoint in &pool.endpoints {
        wait_until_idle(&ctx.http, endpoint, ctx.timeouts.drain).await?;
    }
    let ballast = saturate(ctx, model, pool).await?;
    let watch = Watch::start(&ctx.http, &pool.endpoints);
    tokio::time::sleep(ctx.timeouts.metrics_settle).await;
    let (begun_at, begun_us) = (Instant::now(), scrapes::now_us());
    let mut sent = send(ctx, model, classes, order).await?;

    let shown = shown_held(ctx, pool, classes, &ballast, &sent).await;
    let filled_until = Instant::now();
    watch.read_after(filled_until).await;
    let waiting = watch.held(begun_at, filled_until, |reading| reading.waiting >= 1.0);
    let starved = scrapes::starved(&ctx.http, &pool.endpoints, begun_us).await;
    let released_at = Instant::now();
    drop(ballast);
    wait_while_fewer(|| in_flight(&sent), ctx.timeouts.stall).await;

    let mut held = Held {
        first: Vec::new(),
        second: Vec::new(),
        kinds: Kinds::default(),
        lost: [0; 2],
        released_at,
        shown: String::new(),
        doubt: starved,
    };
    let ended = [&mut held.first, &mut held.second];
    for ((class, ended), lost) in sent.iter_mut().zip(ended).zip(&mut held.lost) {
        for (kind, task) in class.tasks.drain(..) {
            if task.is_finished() {
                let exchange = task.await?;
                held.kinds.keep(&exchange, kind);
                ended.push(exchange);
            } else {
                *lost += 1;
            }
        }
    }
    if let Some(shift) = sent_apart(&held.first, &held.second) {
        held.doubt = Some(format!(
            "the client sent one class late: {shift:.2} more of the pairs in order than planned"
        ));
    }
    if !waiting {
        held.doubt = Some("requests did not wait at every endpoint all the time".to_owned());
    }
    match shown {
        Ok(shown) => held.shown = shown,
        Err(doubt) => held.doubt = Some(doubt),
    }
    Ok(held)
}

impl Held {
    /// Adds whether all requests that ended were served.
    pub(super) fn expect_served(&self, names: [&str; 2], findings: &mut Findings) {
        for (name, class) in names.into_iter().zip([&self.first, &self.second]) {
            for exchange in class {
                let what = format!("every held {name} request");
                findings.add(expect::success(&what, exchange));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use poolproof_client::Ending;

    use super::*;
    use crate::made::exchange;

    #[test]
    fn held_requests_have_to_be_served() {
        let served = || exchange("a", Some(200), Ending::Complete);
        for (status, fails) in [(200, false), (429, true)] {
            let held = Held {
                first: vec![served()],
                second: vec![exchange("a", Some(status), Ending::Complete)],
                kinds: Kinds::default(),
                lost: [0; 2],
                released_at: Instant::now(),
                shown: String::new(),
                doubt: None,
            };
            let mut findings = Findings::default();
            held.expect_served(["interactive", "batch"], &mut findings);
            assert_eq!(findings.failed(), fails);
        }
    }
}
