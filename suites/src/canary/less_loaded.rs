//! Inside each version's pool the less-loaded endpoint still wins.

use anyhow::Result;
use poolproof_cases::budget::Rates;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::need::{CanaryToLoad, EndpointNames, Find};
use poolproof_model::target::{Model, Pool};
use poolproof_model::verdict::Outcome;
use poolproof_stats::binomial::Question;
use poolproof_stats::sequential::Sequential;

use crate::loaded::{self, Load, PoolTest};

pub(super) const CASE: Case = Case {
    id: "canary/less-loaded",
    requirement: "Inside the pool of each version, an endpoint with a queue gets (almost) nothing while another has none.",
    level: Level::Must,
    source: "GIE v1.5.0, queue-scorer: P/scheduling/scorer/queuedepth",
    needs: &[CanaryToLoad::NEED, EndpointNames::NEED],
    alpha_parts: 1,
    plan: |target, rates| {
        let model = CanaryToLoad::find(target)?;
        let tests = tests(model, rates)?;
        Ok(loaded::effort(model, tests.len(), &tests))
    },
    run: |ctx| Box::pin(less_loaded(ctx)),
};

/// Requests that wait at the busy endpoint of each pool.
const WAITING: u64 = 3;

/// The share of a picker that is blind among two endpoints is a half; the split leaves the lightest pool few picks.
fn tests<'a>(model: &'a Model, rates: &Rates) -> Result<Vec<PoolTest<'a>>> {
    let question = Question::AtMost {
        null: 0.02,
        bad: 0.30,
    };
    let pools: Vec<&Pool> = model.weighted_pools().collect();
    let alpha = rates.alpha / pools.len() as f64;
    let test = Sequential::new(question, alpha, rates.power)?;
    let tests = pools.into_iter().map(|pool| PoolTest {
        pool,
        test: test.clone(),
    });
    Ok(tests.collect())
}

async fn less_loaded(ctx: &Context) -> Result<Outcome> {
    let model = CanaryToLoad::find(&ctx.target)?;
    let tests = tests(model, &ctx.rates)?;
    let busy = tests.iter().filter_map(|it| it.pool.endpoints.first());
    let busy: Vec<&str> = busy.map(|endpoint| endpoint.name.as_str()).collect();
    loaded::judge(ctx, model, &busy, Load::Waiting(WAITING), &tests).await
}
