//! A canary that is rolled out: weights are changed under traffic, it follows, and nothing is lost.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use poolproof_cases::budget::Rates;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::Effort;
use poolproof_cases::expect;
use poolproof_cases::need::{CanaryToLoad, EndpointNames, Find, Need};
use poolproof_client::{Connections, Exchange};
use poolproof_model::change::{Change, Kind};
use poolproof_model::picture::Picture;
use poolproof_model::target::{Model, Pool};
use poolproof_model::verdict::{Findings, Outcome};
use poolproof_stats::binomial::Question;
use poolproof_stats::sequential::Sequential;

use crate::sample::{Sample, ShareTest, is_of};
use crate::streams::{PACE_REQUESTS, Streams};

pub(super) const CASE: Case = Case {
    id: "canary/live-shift",
    requirement: "When the weights of a canary are changed to 50/50 and then to 0/100 under traffic, requests follow within seconds, \
                  and no request and no open stream is lost.",
    level: Level::Must,
    source: "Gateway API v1.5.1, guides, HTTP traffic splitting: a rollout step by step, by BackendRef.weight",
    needs: &[
        CanaryToLoad::NEED,
        EndpointNames::NEED,
        Need::change(Kind::Weights),
    ],
    alpha_parts: 1,
    plan: |_, rates| {
        let test = half(rates)?;
        let effort = Effort::sequential([(&test, 1.0)])
            .and(BEFORE + AFTER + 2 * (PACE_REQUESTS + STREAMS + BATCH));
        let most = test.n_max() as usize
            + BEFORE
            + AFTER
            + 2 * (PACE_REQUESTS + STREAMS + BATCH + FOLLOW_MAX);
        Ok(effort.at_most(most as u64).in_flight(IN_FLIGHT).waits(4.0))
    },
    run: |ctx| Box::pin(live_shift(ctx)),
};

const IN_FLIGHT: usize = 8;
const STREAMS: usize = 4;
/// Requests between two looks at whether the change is made, and whether traffic follows.
const BATCH: usize = 64;
/// Requests within which traffic has to follow, at most, whatever time that is.
const FOLLOW_MAX: usize = 400 * BATCH;
/// Requests before anything is changed, to be seen.
const BEFORE: usize = 2 * BATCH;
/// Requests of which none may go to the pool that is at 0 then.
const AFTER: usize = 200;
/// What the share may be off by at half way.
const TOLERANCE: f64 = 0.1;
/// The odds at which a change of the split is taken to have happened, in natural logarithms: a million to one.
const CERTAIN: f64 = 13.8;

/// The test of the share at half way.
fn half(rates: &Rates) -> Result<Sequential> {
    let question = Question::Equal {
        null: 0.5,
        deviation: TOLERANCE,
    };
    Sequential::new(question, rates.alpha, rates.power)
}

async fn live_shift(ctx: &Context) -> Result<Outcome> {
    let model = CanaryToLoad::find(&ctx.target)?;
    let mut pools: Vec<&Pool> = model.weighted_pools().collect();
    pools.sort_by_key(|pool| pool.weight);
    let (canary, stable) = (pools[0], pools[pools.len() - 1]);
    let now = f64::from(canary.weight) / f64::from(canary.weight + stable.weight);
    let client = ctx.client(Connections::KeepAlive)?;
    let mut sample = Sample::start(ctx, &client, model, IN_FLIGHT).await?;
    sample.more(BEFORE as u64).await;
    let mut findings = Findings::default();
    let mut streams = Vec::new();
    let mut followed = Vec::new();

    for (from, to) in [(now, 0.5), (0.5, 1.0)] {
        let shift = Shift {
            canary,
            from,
            to,
            change: change(model, canary, stable, to),
        };
        let open = Streams::open(ctx, model, STREAMS).await?;
        let took = shift.make(ctx, &mut sample).await?;
        let (whole, pace) = open.finish().await?;
        streams.extend(whole);
        sample.exchanges.extend(pace);
        findings.add(expect::that(
            took.is_some(),
            &format!("share of {} from {from:.2} to {to:.2}", canary.name),
            format!(
                "followed within {:?} and {FOLLOW_MAX} requests",
                ctx.timeouts.recovery
            ),
            "it did not follow",
        ));
        let Some(took) = took else {
            return finish(sample, canary, streams, findings, "not reached").await;
        };
        followed.push(format!("{} ms", took.as_millis()));
        sample.judge_from_here();
        if to == 0.5 {
            let endpoints = canary.endpoints.iter().map(|it| it.name.as_str());
            let test = ShareTest {
                of: format!("share of {} at half way", canary.name),
                endpoints: endpoints.collect(),
                test: half(&ctx.rates)?,
            };
            sample.settle(&[test], &mut findings).await;
        } else {
            sample.more(AFTER as u64).await;
            let late = sample
                .judged()
                .iter()
                .filter(|it| is_of(stable, it))
                .count();
            let what = format!("requests at {} after its weight was 0", stable.name);
            findings.add(expect::that(late == 0, &what, 0, late));
        }
    }
    let summary = format!(
        "traffic followed to 50/50 and to 0/100 after {}; {} streams whole",
        followed.join(" and "),
        streams.len()
    );
    finish(sample, canary, streams, findings, &summary).await
}

/// The outcome: every stream has to be whole, beside what a sample is judged by.
async fn finish(
    mut sample: Sample<'_>,
    canary: &Pool,
    streams: Vec<Exchange>,
    mut findings: Findings,
    summary: &str,
) -> Result<Outcome> {
    for stream in &streams {
        findings.add(expect::success("stream that was open at a change", stream));
    }
    findings.show(share_over_time(&sample.exchanges, canary));
    sample.exchanges.extend(streams);
    sample.conclude(findings, summary.to_owned()).await
}

/// The share of the canary in each batch of requests, in the order in which they were sent, by when the batch was.
fn share_over_time(exchanges: &[Exchange], canary: &Pool) -> Picture {
    let mut sent: Vec<&Exchange> = exchanges.iter().collect();
    sent.sort_by_key(|it| it.sent_at);
    let start = sent.first().map(|it| it.sent_at);
    let points = sent.chunks(BATCH).filter_map(|batch| {
        let sent = batch.first()?.sent_at.duration_since(start?);
        let hits = batch.iter().filter(|it| is_of(canary, it)).count();
        Some((sent.as_secs_f64(), hits as f64 / batch.len() as f64))
    });
    let lines = vec![(canary.name.clone(), points.collect())];
    Picture::lines(
        format!("share of {} while weights are changed", canary.name),
        ("seconds", "share"),
        lines,
    )
}

/// The weights at which the canary has so large a share of what it and the stable pool get together.
fn change(model: &Model, canary: &Pool, stable: &Pool, share: f64) -> Change {
    let weight = (share * 100.0).round() as u32;
    let weights = model.pools.iter().map(|pool| {
        let weight = match pool.name.as_str() {
            name if name == canary.name => weight,
            name if name == stable.name => 100 - weight,
            _ => 0,
        };
        (pool.name.clone(), weight)
    });
    Change::Weights {
        model: model.name.clone(),
        weights: weights.collect::<BTreeMap<_, _>>(),
    }
}

/// A change of the canary's share.
struct Shift<'a> {
    canary: &'a Pool,
    from: f64,
    to: f64,
    change: Change,
}

impl Shift<'_> {
    /// Makes the change under traffic, and sends on until it shows: how long after the change the first request was sent that
    /// belongs to the new share. `None`: it never showed.
    async fn make(self, ctx: &Context, sample: &mut Sample<'_>) -> Result<Option<Duration>> {
        let first = sample.exchanges.len();
        let made = AtomicBool::new(false);
        let change = async {
            let changed = ctx.change(self.change.clone()).await;
            made.store(true, Ordering::Relaxed);
            changed.map(|()| Instant::now())
        };
        let traffic = async {
            while !made.load(Ordering::Relaxed) && sample.exchanges.len() - first < FOLLOW_MAX / 2 {
                sample.more(BATCH as u64).await;
            }
        };
        let (changed, ()) = tokio::join!(change, traffic);
        let changed = changed?;
        while sample.exchanges.len() - first < FOLLOW_MAX && !ctx.is_late() {
            if let Some(number) = self.point(&sample.exchanges[first..]) {
                let sent_at = sample.exchanges[first + number].sent_at;
                return Ok(Some(sent_at.saturating_duration_since(changed)));
            }
            if changed.elapsed() > ctx.timeouts.recovery {
                break;
            }
            sample.more(BATCH as u64).await;
        }
        Ok(None)
    }

    /// The first request of the new share, if the old one has become a million times less likely since: Page's cumulative sum
    /// (Biometrika 41, 1954), whose last minimum is the likeliest point.
    fn point(&self, exchanges: &[Exchange]) -> Option<usize> {
        // A share of 0 or 1 would make one straggler impossible instead of unlikely.
        let share = |it: f64| it.clamp(0.001, 0.999);
        let (from, to) = (share(self.from), share(self.to));
        let (mut sum, mut lowest, mut point) = (0.0, 0.0, 0);
        for (number, exchange) in exchanges.iter().enumerate() {
            sum += match is_of(self.canary, exchange) {
                true => (to / from).ln(),
                false => ((1.0 - to) / (1.0 - from)).ln(),
            };
            if sum < lowest {
                (lowest, point) = (sum, number + 1);
            }
        }
        (sum - lowest > CERTAIN).then_some(point)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use poolproof_client::Ending;
    use poolproof_model::picture::Drawing;
    use poolproof_model::target::Target;
    use poolproof_model::topology::Topology;

    use super::*;
    use crate::made::exchange;

    #[test]
    fn the_share_is_seen_in_the_order_of_sending_whatever_ended_first() {
        let target = Target::planned(&Topology::default()).unwrap();
        let canary = &target.models[1].pools[1];
        let first = exchange("other", Some(200), Ending::Complete);
        let mut exchanges = Vec::new();
        for number in (0..3 * BATCH).rev() {
            let mut exchange = match number / BATCH {
                2 => exchange(&canary.endpoints[0].name, Some(200), Ending::Complete),
                _ => exchange("other", Some(200), Ending::Complete),
            };
            exchange.sent_at = first.sent_at + Duration::from_millis(number as u64);
            exchanges.push(exchange);
        }
        let Drawing::Lines { lines, .. } = share_over_time(&exchanges, canary).drawing else {
            unreachable!("a share over time is a line")
        };
        let step_s = BATCH as f64 / 1000.0;
        assert_eq!(lines[0].1, [(0.0, 0.0), (step_s, 0.0), (2.0 * step_s, 1.0)]);
    }
}
