//! Sends the requests of two classes, each from a client of its own, and checks that the client kept their order.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use futures_util::future::try_join_all;
use poolproof_cases::context::Context;
use poolproof_client::{Client, Connections, Exchange, Lane, Request, drive};
use poolproof_model::target::Model;
use poolproof_stats::rank;
use rand::seq::SliceRandom;

use super::{Class, SentIn};
use crate::mix::{Kind, Mix};

/// The header that names the flow of a request (GIE v1.5.0, pkg/epp/metadata/consts.go).
const FAIRNESS_HEADER: &str = "x-gateway-inference-fairness-id";
/// How far apart requests are sent.
const INTERVAL: Duration = Duration::from_millis(1);

/// By how much the order in which the classes were sent may differ from the planned one, as a share of pairs.
const SENT_APART_MAX: f64 = 0.1;

/// The requests of a class on their way. Its lane ends with it.
pub(super) struct OnTheWay {
    pub(super) tasks: Vec<(Kind, drive::Sent)>,
    _lane: Lane,
}

/// Sends both classes from clients that share nothing. Returns when all have been sent.
pub(super) async fn send(
    ctx: &Context,
    model: &Model,
    classes: [Class<'_>; 2],
    order: SentIn,
) -> Result<[OnTheWay; 2]> {
    let mut rng = ctx.rng("order");
    let total = classes[0].requests + classes[1].requests;
    let mut slots: Vec<usize> = (0..total).collect();
    if order == SentIn::AnyOrder {
        slots.shuffle(&mut rng);
    }
    let (first, second) = slots.split_at(classes[0].requests);
    let mut ready = Vec::new();
    for (class, slots) in classes.into_iter().zip([first, second]) {
        let mut slots = slots.to_vec();
        slots.sort_unstable();
        let mut mix = Mix::default();
        let kinds: Vec<Kind> = slots.iter().map(|_| mix.kind(&mut rng)).collect();
        let mut due: Vec<(Duration, Request)> = Vec::new();
        for (slot, kind) in slots.into_iter().zip(&kinds) {
            let mut request =
                crate::priority::request(ctx, &model.name, *kind, class.objective, &mut rng);
            if let Some(flow) = class.flow {
                request = request.header(FAIRNESS_HEADER, flow);
            }
            due.push((INTERVAL * slot as u32, request));
        }
        let client: Client = ctx.client(Connections::KeepAlive)?;
        ready.push((Lane::start(class.name)?, client, kinds, due));
    }
    // Only now, when nothing is left to prepare: a class that is ready later would be sent later.
    let start = Instant::now() + INTERVAL * 10;
    let sending = ready.into_iter().map(|(lane, client, kinds, due)| {
        let sent =
            lane.spawn(async move { drive::scheduled(&client, start, due.into_iter()).await });
        async {
            anyhow::Ok(OnTheWay {
                tasks: kinds.into_iter().zip(sent.await?).collect(),
                _lane: lane,
            })
        }
    });
    try_join_all(sending)
        .await?
        .try_into()
        .ok()
        .context("two classes")
}

/// By how much more the first class was sent before the second than was planned, if that is more than a test of their order
/// bears.
pub(super) fn sent_apart(first: &[Exchange], second: &[Exchange]) -> Option<f64> {
    let begun = first.iter().chain(second).map(|it| it.intended_at).min()?;
    let order_by = |time: fn(&Exchange) -> Instant| {
        let times = [first, second].map(|class| {
            let since = |exchange| {
                time(exchange)
                    .saturating_duration_since(begun)
                    .as_secs_f64()
            };
            class.iter().map(since).collect::<Vec<_>>()
        });
        Some(rank::order(&times[0], &times[1])?.first_below)
    };
    let shift = order_by(|it| it.sent_at)? - order_by(|it| it.intended_at)?;
    (shift.abs() > SENT_APART_MAX).then_some(shift)
}

pub(super) fn in_flight(sent: &[OnTheWay; 2]) -> usize {
    let tasks = sent.iter().flat_map(|class| &class.tasks);
    tasks.filter(|(_, task)| !task.is_finished()).count()
}

#[cfg(test)]
mod tests {
    use poolproof_client::Ending;

    use super::*;
    use crate::made::exchange;

    /// A class whose requests were due every other millisecond from `due`, and were sent `late` after that.
    fn class(due: Duration, late: Duration, begun: Instant) -> Vec<Exchange> {
        let sent = |n: u32| {
            let mut exchange = exchange("a", Some(200), Ending::Complete);
            exchange.intended_at = begun + due + 2 * INTERVAL * n;
            exchange.sent_at = exchange.intended_at + late;
            exchange
        };
        (0..50).map(sent).collect()
    }

    #[test]
    fn a_class_that_the_client_sends_late_is_seen() {
        let begun = Instant::now();
        let first = class(Duration::ZERO, Duration::ZERO, begun);
        let second = class(INTERVAL, Duration::ZERO, begun);
        assert_eq!(sent_apart(&first, &second), None);
        let late = class(INTERVAL, Duration::from_millis(60), begun);
        assert!(sent_apart(&first, &late).is_some_and(|shift| shift > SENT_APART_MAX));
        assert!(sent_apart(&late, &first).is_some_and(|shift| shift < -SENT_APART_MAX));
    }
}
