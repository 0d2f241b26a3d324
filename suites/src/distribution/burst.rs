//! Requests that come at once, on an idle pool: they spread.

use anyhow::Result;
use poolproof_cases::ballast::wait_until_idle;
use poolproof_cases::budget::Rates;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::Effort;
use poolproof_cases::expect;
use poolproof_cases::need::{EndpointNames, Find, PoolToLoad};
use poolproof_client::evidence::{control, scrapes, served};
use poolproof_client::{Connections, Request, drive, poll};
use poolproof_model::picture::Picture;
use poolproof_model::target::{Endpoint, Pool};
use poolproof_model::verdict::{Findings, Outcome};
use poolproof_stats::binomial::Question;
use poolproof_stats::sequential::{Progress, Sequential};

use crate::mix::Mix;

pub(super) const CASE: Case = Case {
    id: "distribution/burst",
    requirement: "Requests that come at once to an idle pool do not all go to one of its endpoints, whether they are many or few.",
    level: Level::Should,
    source: "llm-d/llm-d-router#2515; GIE v1.5.0, max-score-picker: uniform among equal scores, also within one scrape",
    needs: &[PoolToLoad::NEED, EndpointNames::NEED],
    alpha_parts: 1,
    plan: |target, rates| {
        let (_, pool) = PoolToLoad::find(target)?;
        let sizes = sizes(pool);
        let per_burst = sizes.iter().sum::<usize>() as f64 / sizes.len() as f64;
        let test = test(rates)?;
        let bursts = test.at_null.mean_n;
        let effort = Effort::sequential([(&test, 1.0 / per_burst)]);
        Ok(effort.in_flight(per_burst as usize).waits(bursts * WAIT_S))
    },
    run: |ctx| Box::pin(burst(ctx)),
};

/// The requests of a large burst and of a small one.
const LARGE: usize = 12;
const SMALL: usize = 6;
/// The chance, at most, that a burst counts as concentrated when each of its requests goes to any endpoint alike.
const BY_CHANCE: f64 = 0.01;
/// The share of bursts that may be concentrated, and the one that must be refused: each burst is of one kind of request,
/// and a fault of one kind shows in a quarter of them. A scrape in the middle of a burst makes endpoints unequal: hence
/// twice the share that chance gives.
const CONCENTRATED: Question = Question::AtMost {
    null: 2.0 * BY_CHANCE,
    bad: 0.2,
};
/// From one burst to the next: about a scrape.
const WAIT_S: f64 = 0.06;

fn test(rates: &Rates) -> Result<Sequential> {
    Sequential::new(CONCENTRATED, rates.alpha, rates.power)
}

/// The sizes of bursts, in turn. A burst is large enough that all of it at one endpoint is no chance.
fn sizes(pool: &Pool) -> [usize; 2] {
    let endpoints = pool.endpoints.len();
    let fits = |size: usize| concentrated_from(size, endpoints).is_some();
    let least = (SMALL..=LARGE).find(|size| fits(*size)).unwrap_or(LARGE);
    [LARGE, least]
}

/// The largest share of a burst at one endpoint from which it counts as concentrated, in requests: fewer would come about
/// by chance more often than [`BY_CHANCE`], by the sum over all endpoints of the binomial tails.
fn concentrated_from(size: usize, endpoints: usize) -> Option<usize> {
    let share = 1.0 / endpoints as f64;
    let mut chance = 0.0;
    // The number of ways to choose that many requests of the burst.
    let mut ways = 1.0;
    let mut from = None;
    for missing in 0..size {
        let at_one = size - missing;
        let of_one = ways * share.powi(at_one as i32) * (1.0 - share).powi(missing as i32);
        chance += of_one * endpoints as f64;
        if chance > BY_CHANCE {
            break;
        }
        from = Some(at_one);
        ways *= at_one as f64 / (missing + 1) as f64;
    }
    from
}

async fn burst(ctx: &Context) -> Result<Outcome> {
    let (model, pool) = PoolToLoad::find(&ctx.target)?;
    let (test, sizes) = (test(&ctx.rates)?, sizes(pool));
    let client = ctx.client(Connections::KeepAlive)?;
    let (mut rng, mut mix) = (ctx.rng("bursts"), Mix::default());
    let mut findings = Findings::default();
    // Of each burst: its size, and the most of it that one endpoint served.
    let mut bursts: Vec<(usize, usize)> = Vec::new();
    let since_us = scrapes::now_us();
    let ended = loop {
        let concentrated = bursts.iter().map(|(size, most)| {
            concentrated_from(*size, pool.endpoints.len()).is_some_and(|from| *most >= from)
        });
        let ended = match test.progress(concentrated) {
            Progress::Ended { look, hits } => Some((look, hits)),
            Progress::Open { .. } => None,
        };
        if ended.is_some() || findings.failed() || ctx.is_late() {
            break ended;
        }
        seen_idle(ctx, &pool.endpoints).await?;
        let (size, kind) = (sizes[bursts.len() % sizes.len()], mix.kind(&mut rng));
        let requests: Vec<Request> = (0..size)
            .map(|_| {
                kind.request(&model.name, 1, &mut rng)
                    .timeout(ctx.timeouts.request)
            })
            .collect();
        let exchanges = drive::closed_loop(&client, size, requests.into_iter()).await;
        for exchange in &exchanges {
            let what = format!("every request of a burst of {}", kind.in_words());
            findings.add(expect::success(&what, exchange));
        }
        let counts = served::by_endpoint(exchanges.iter());
        let most = counts.values().max().copied().unwrap_or(0);
        bursts.push((size, most as usize));
    };
    let starved = scrapes::starved(&ctx.http, &pool.endpoints, since_us).await;
    let mean = |size: usize| {
        let own = bursts.iter().filter(|(it, _)| *it == size);
        let most: Vec<f64> = own.map(|(_, most)| *most as f64).collect();
        most.iter().sum::<f64>() / most.len().max(1) as f64
    };
    let means = sizes.map(|size| (format!("of {size}"), mean(size)));
    findings.show(Picture::bars(
        "the most of a burst that one endpoint served, on average",
        "requests",
        means.clone().into(),
    ));
    match ended {
        Some((look, hits)) => {
            let of = "share of bursts that one endpoint served (almost) alone";
            findings.add_statistic(test.decide(of, look, hits));
        }
        None if findings.failed() => {}
        None => {
            return Ok(Outcome::inconclusive(format!(
                "{} bursts in {:?} do not decide, {} at most would; --case-timeout gives it more time",
                bursts.len(),
                ctx.timeouts.case,
                test.n_max()
            )));
        }
    }
    let means = means.map(|(of, mean)| format!("{mean:.1} {of}"));
    let summary = format!(
        "of {} bursts, one endpoint served {} on average",
        bursts.len(),
        means.join(" and ")
    );
    Ok(findings.outcome_unless(summary, starved))
}

/// Waits until the endpoints are idle, and a picker that reads their metrics has seen it.
async fn seen_idle(ctx: &Context, endpoints: &[Endpoint]) -> Result<()> {
    for endpoint in endpoints {
        wait_until_idle(&ctx.http, endpoint, ctx.timeouts.drain).await?;
    }
    if endpoints.iter().any(|endpoint| endpoint.control.is_none()) {
        tokio::time::sleep(ctx.timeouts.metrics_settle).await;
        return Ok(());
    }
    let idle_us = scrapes::now_us();
    let scraped = poll::until(
        "every endpoint is scraped",
        ctx.timeouts.metrics_settle,
        poll::INTERVAL,
        || async {
            for endpoint in endpoints {
                let scrapes = control::scrapes_us(&ctx.http, endpoint, idle_us)
                    .await
                    .ok()?;
                scrapes.first()?;
            }
            Some(())
        },
    );
    // A picker that does not scrape has nothing to see.
    let _ = scraped.await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_counts_as_concentrated_where_chance_hardly_gets() {
        // Of 12 at three endpoints: 3 * P(10 or more of 12) = 0.0016, 3 * P(9 or more) = 0.0116.
        assert_eq!(concentrated_from(12, 3), Some(10));
        // Of 6: 3 / 729 for all of them.
        assert_eq!(concentrated_from(6, 3), Some(6));
        // Of 6 at two endpoints, all go to one in 1 of 32 bursts; of 8, in 1 of 128.
        assert_eq!(concentrated_from(6, 2), None);
        assert_eq!(concentrated_from(8, 2), Some(8));
    }
}
