//! The load that is arranged at endpoints, and whether readings of them show it.

use std::time::{Duration, Instant};

use anyhow::Result;
use poolproof_cases::ballast::Ballast;
use poolproof_cases::context::Context;
use poolproof_client::evidence::endpoint::Reading;
use poolproof_client::evidence::watch::Watch;
use poolproof_model::target::Endpoint;

/// How endpoints are made busy.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Load {
    /// This number of requests waits there.
    Waiting(u64),
    /// This share of the KV cache is in use, and nothing waits.
    KvUsage(f64),
}

/// KV usage by which a busy endpoint must differ from every idle one.
const KV_CONTRAST: f64 = 0.15;

impl Load {
    /// Makes an endpoint busy.
    pub(crate) async fn put(
        self,
        ctx: &Context,
        endpoint: &Endpoint,
        model: &str,
    ) -> Result<Ballast> {
        match self {
            Self::Waiting(waiting) => Ballast::waiting(ctx, endpoint, model, waiting).await,
            Self::KvUsage(usage) => Ballast::kv_usage(ctx, endpoint, model, usage).await,
        }
    }

    /// Whether endpoints differed as arranged all the time. What is idle may have a queue for a moment, as long as it is
    /// shorter than that of whatever is busy: a picker goes by the order of queues, not by their size.
    fn is_seen(self, busy: &[Around], idle: &[Around]) -> bool {
        let (mut busy, mut idle) = (busy.iter(), idle.iter());
        match self {
            Self::Waiting(_) => {
                let shortest = busy.map(|it| it.waiting.0).fold(f64::INFINITY, f64::min);
                shortest >= 1.0 && idle.all(|it| it.waiting.1 < shortest)
            }
            // A queue anywhere is another reason for a pick; with one idle endpoint free of it, the KV cache decides.
            Self::KvUsage(usage) => {
                let free = idle.clone().any(|it| it.waiting.1 == 0.0);
                let is_full = |it: &Around| it.kv_usage.0 >= usage - KV_CONTRAST;
                free && busy.all(|it| is_full(it) && it.waiting.1 == 0.0)
                    && idle.all(|it| it.kv_usage.1 < usage - 2.0 * KV_CONTRAST)
            }
        }
    }
}

/// What the readings of an endpoint around a probe say: the least and the most.
#[derive(Clone, Copy, Debug)]
struct Around {
    waiting: (f64, f64),
    kv_usage: (f64, f64),
}

impl Around {
    fn new(readings: &[Reading]) -> Self {
        let range = |value: fn(&Reading) -> f64| {
            let values = readings.iter().map(value);
            values.fold((f64::INFINITY, 0.0_f64), |(least, most), value| {
                (least.min(value), most.max(value))
            })
        };
        Self {
            waiting: range(|reading| reading.waiting),
            kv_usage: range(|reading| reading.kv_usage),
        }
    }
}

/// How the load of endpoints, of which the first ones are busy, was not as arranged when a probe was sent, probes being `interval`
/// apart; `None` if it was.
pub(crate) fn not_as_arranged(
    ctx: &Context,
    watch: &Watch,
    endpoints: &[Endpoint],
    busy: usize,
    load: Load,
    sent_at: Instant,
    interval: Duration,
) -> Option<String> {
    // The picker decided by figures that were up to a few scrapes old.
    let (from, to) = (
        sent_at - ctx.timeouts.metrics_settle / 2,
        sent_at + interval,
    );
    let mut around = Vec::new();
    for (number, endpoint) in endpoints.iter().enumerate() {
        match watch.readings(number, from, to) {
            Some(readings) => around.push(Around::new(&readings)),
            None => return Some(format!("{} was not read around it", endpoint.name)),
        }
    }
    let (busy, idle) = around.split_at(busy);
    let in_words = || {
        let words = endpoints.iter().zip(&around).map(|(endpoint, it)| {
            let (waiting, kv_usage) = (it.waiting, it.kv_usage);
            format!(
                "{} {} to {} waiting, KV usage {:.2} to {:.2}",
                endpoint.name, waiting.0, waiting.1, kv_usage.0, kv_usage.1
            )
        });
        words.collect::<Vec<_>>().join("; ")
    };
    (!load.is_seen(busy, idle)).then(in_words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn around(waiting: [f64; 2], kv_usage: f64) -> Around {
        Around {
            waiting: (waiting[0], waiting[1]),
            kv_usage: (kv_usage, kv_usage),
        }
    }

    #[test]
    fn queues_differ_as_long_as_the_shortest_busy_one_is_longer_than_any_idle_one() {
        let load = Load::Waiting(3);
        let busy = [around([2.0, 3.0], 0.0), around([3.0, 4.0], 0.0)];
        assert!(load.is_seen(&busy, &[around([0.0, 0.0], 0.0)]));
        assert!(load.is_seen(&busy, &[around([0.0, 1.0], 0.0)]));
        assert!(!load.is_seen(&busy, &[around([0.0, 2.0], 0.0)]));
        assert!(!load.is_seen(&[around([0.0, 3.0], 0.0)], &[around([0.0, 0.0], 0.0)]));
    }

    #[test]
    fn kv_usage_decides_only_where_no_queue_does() {
        let load = Load::KvUsage(0.5);
        let free = around([0.0, 0.0], 0.01);
        let queued = around([0.0, 1.0], 0.01);
        let busy = around([0.0, 0.0], 0.45);
        assert!(load.is_seen(&[busy], &[free, queued]));
        assert!(!load.is_seen(&[busy], &[queued, queued]));
        assert!(!load.is_seen(&[around([0.0, 1.0], 0.45)], &[free, free]));
        assert!(!load.is_seen(&[around([0.0, 0.0], 0.2)], &[free, free]));
        assert!(!load.is_seen(&[busy], &[free, around([0.0, 0.0], 0.3)]));
    }
}
