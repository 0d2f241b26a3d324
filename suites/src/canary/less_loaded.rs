//! Inside each version's pool the less-loaded endpoint still wins.

use anyhow::{Context as _, Result};
use poolproof_harness::case::{Case, Level, Need};
use poolproof_harness::context::{Context, Settings};
use poolproof_harness::stats::binomial::Question;
use poolproof_harness::stats::sequential::Sequential;
use poolproof_harness::target::{Model, Pool};
use poolproof_harness::verdict::Outcome;

use crate::loaded::{self, Load, PoolTest};

pub(super) const CASE: Case = Case {
    id: "canary/less-loaded",
    requirement: "Inside the pool of each version, an endpoint with a queue gets (almost) nothing while another has none.",
    level: Level::Must,
    source: "GIE v1.5.0, queue-scorer: P/scheduling/scorer/queuedepth",
    needs: &[Need::CanaryToLoad, Need::EndpointNames],
    plan: |target, settings| {
        let model = target.canary().context("a canary")?;
        let tests = tests(model, settings)?;
        Ok(loaded::effort(model, tests.len(), &tests))
    },
    run: |ctx| Box::pin(less_loaded(ctx)),
};

/// Requests that wait at the busy endpoint of each pool.
const WAITING: u64 = 3;

/// The share of a picker that is blind among two endpoints is a half; the split leaves the lightest pool few picks.
fn tests<'a>(model: &'a Model, settings: &Settings) -> Result<Vec<PoolTest<'a>>> {
    let question = Question::AtMost {
        null: 0.02,
        bad: 0.30,
    };
    let pools: Vec<&Pool> = model.weighted_pools().collect();
    let alpha = settings.alpha() / pools.len() as f64;
    let test = Sequential::new(question, alpha, settings.power)?;
    let tests = pools.into_iter().map(|pool| PoolTest {
        pool,
        test: test.clone(),
    });
    Ok(tests.collect())
}

async fn less_loaded(ctx: &Context) -> Result<Outcome> {
    let model = ctx.target.canary().context("a canary")?;
    let tests = tests(model, &ctx.settings)?;
    let busy = tests.iter().filter_map(|it| it.pool.endpoints.first());
    let busy: Vec<&str> = busy.map(|endpoint| endpoint.name.as_str()).collect();
    loaded::judge(ctx, model, &busy, Load::Waiting(WAITING), &tests).await
}
