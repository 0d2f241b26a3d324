//! The split of a canary, held against the weights.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use poolproof_cases::budget::Rates;
use poolproof_cases::context::Context;
use poolproof_cases::effort::Effort;
use poolproof_cases::need::{Canary, Find};
use poolproof_client::evidence::served;
use poolproof_client::{Client, Exchange};
use poolproof_model::picture::Picture;
use poolproof_model::target::{Model, Pool, Target};
use poolproof_model::verdict::{Findings, Outcome};
use poolproof_stats::binomial::Question;
use poolproof_stats::sequential::Sequential;

use crate::mix::{Kind, Shares};
use crate::sample::{Sample, ShareTest, is_of};

/// The pool whose share is judged where one is enough: the lightest of those with a weight.
pub(super) fn judged(model: &Model) -> Result<(&Pool, f64)> {
    let pool = model
        .weighted_pools()
        .min_by_key(|pool| pool.weight)
        .context("a pool with a weight")?;
    Ok((pool, share(model, pool)))
}

fn share(model: &Model, pool: &Pool) -> f64 {
    f64::from(pool.weight) / f64::from(model.total_weight())
}

/// The tests of the shares of all pools but the heaviest: that one gets what the others leave. Over all requests within
/// the tolerance; of each kind, that it is split by these weights at all.
fn tests<'a>(rates: &Rates, model: &'a Model) -> Result<Vec<ShareTest<'a>>> {
    let mut pools: Vec<&Pool> = model.weighted_pools().collect();
    pools.sort_by_key(|pool| pool.weight);
    pools.pop();
    let alpha = Shares::of(rates.alpha / pools.len() as f64);
    let mut tests = Vec::new();
    for pool in pools {
        let share = share(model, pool);
        let of = format!("share of {} (weight {})", pool.name, pool.weight);
        let test = |kind, of, test| ShareTest {
            of,
            endpoints: pool.endpoints.iter().map(|it| it.name.as_str()).collect(),
            kind,
            test,
        };
        let within = Question::Equal {
            null: share,
            deviation: rates.split_tolerance,
        };
        let whole = Sequential::new(within, alpha.whole, rates.power)?;
        tests.push(test(None, of.clone(), whole));
        let far_off = far_off(share, rates.split_tolerance);
        for question in &far_off {
            let alpha = alpha.kind / far_off.len() as f64;
            let of_kind = Sequential::new(*question, alpha, rates.power)?;
            for kind in Kind::ALL {
                let of = format!("{of} in {}", kind.in_words());
                tests.push(test(Some(kind), of, of_kind.clone()));
            }
        }
    }
    Ok(tests)
}

/// Whether a share is not wrong altogether: far too much, or (almost) nothing where nothing is outside the tolerance. These
/// questions are coarse, so that the sample that the tolerance takes answers them for each kind of request.
fn far_off(share: f64, tolerance: f64) -> Vec<Question> {
    let too_much = (share * 2.5).max(share + 2.0 * tolerance);
    let mut questions = vec![Question::AtMost {
        null: share,
        bad: too_much.min((1.0 + share) / 2.0),
    }];
    if share > tolerance {
        questions.push(Question::AtLeast {
            null: share,
            bad: share / 10.0,
        });
    }
    questions
}

/// What judging the shares of a whole run takes.
pub(super) fn effort(target: &Target, rates: &Rates) -> Result<Effort> {
    let tests = tests(rates, Canary::find(target)?)?;
    Ok(Effort::sequential(tests.iter().map(ShareTest::of_sample)))
}

/// Judges the shares of a whole run, over connections as the client makes them.
pub(super) async fn judge(ctx: &Context, client: &Client, in_flight: usize) -> Result<Outcome> {
    let model = Canary::find(&ctx.target)?;
    let tests = tests(&ctx.rates, model)?;
    let mut sample = Sample::start(ctx, client, model, in_flight).await?;
    let mut findings = Findings::default();
    sample.settle(&tests, &mut findings).await;
    for it in tests.iter().filter(|it| it.kind.is_none()) {
        findings.show(running_share(it, sample.judged()));
    }
    let shares: BTreeMap<String, u64> = model
        .weighted_pools()
        .map(|pool| {
            let served = sample.exchanges.iter().filter(|it| is_of(pool, it));
            (pool.name.clone(), served.count() as u64)
        })
        .collect();
    let whole = tests.iter().filter(|it| it.kind.is_none());
    let fixed = whole.map(|it| it.test.fixed_n).max().unwrap_or(0);
    let summary = format!(
        "{} of {} ({fixed} without looks on the way)",
        served::in_words(&shares),
        sample.exchanges.len()
    );
    sample.conclude(findings, summary).await
}

/// The share so far after each request, and what each look would have accepted.
fn running_share(it: &ShareTest<'_>, exchanges: &[Exchange]) -> Picture {
    let mut hits = 0.0;
    let served = exchanges.iter().filter_map(served::endpoint_of);
    let points = served.zip(1..).map(|(name, n)| {
        hits += f64::from(u8::from(it.endpoints.contains(&name)));
        (f64::from(n), hits / f64::from(n))
    });
    let all: Vec<(f64, f64)> = points.collect();
    let looks = it
        .test
        .looks
        .iter()
        .filter(|look| look.n <= all.len() as u64);
    let band = looks.map(|look| {
        let share = |count: u64| count as f64 / look.n as f64;
        (
            look.n as f64,
            share(*look.bearable.start()),
            share(*look.bearable.end()),
        )
    });
    let band: Vec<(f64, f64, f64)> = band.collect();
    // The first few requests are all or nothing.
    let first = band.first().map_or(0.0, |it| it.0);
    let shown = all.into_iter().filter(|it| it.0 >= first);
    let lines = vec![("measured".to_owned(), shown.collect())];
    Picture::lines(it.of.as_str(), ("requests", "share"), lines).accepts(band)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use poolproof_model::topology::Topology;

    use super::*;

    #[test]
    fn judging_each_kind_takes_no_more_than_the_split_takes_and_finds_a_kind_that_is_not_split() {
        let target = Target::planned(&Topology::default()).unwrap();
        let rates = Rates {
            alpha: 1e-4,
            power: 0.99,
            split_tolerance: 0.03,
            slow_answer: std::time::Duration::from_secs(20),
        };
        let tests = tests(&rates, target.canary().unwrap()).unwrap();
        let (of_kind, whole): (Vec<_>, Vec<_>) = tests.iter().partition(|it| it.kind.is_some());
        for it in &of_kind {
            let requests = it.test.at_null.mean_n / it.of_sample().1;
            assert!(requests < whole[0].test.at_null.mean_n, "{requests}");
        }
        for share in [0.0001, 0.5, 0.9999] {
            let caught = of_kind.iter().map(|it| it.test.at(share).fails);
            assert!(caught.fold(0.0, f64::max) >= 0.99, "{share}");
        }
    }
}
