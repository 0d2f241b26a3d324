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
use crate::mix::{Kind, Shares};

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
        let busy = model.weighted_pools().count();
        Ok(loaded::effort(model, busy, &tests))
    },
    run: |ctx| Box::pin(less_loaded(ctx)),
};

/// Requests that wait at the busy endpoint of each pool.
const WAITING: u64 = 3;

/// The share of a picker that is blind among two endpoints is a half, and a quarter if it is so for one API only, or for
/// streams only. The split leaves the lightest pool few picks; the heaviest has enough to judge each kind.
fn tests<'a>(model: &'a Model, rates: &Rates) -> Result<Vec<PoolTest<'a>>> {
    let question = |bad| Question::AtMost { null: 0.02, bad };
    let pools: Vec<&Pool> = model.weighted_pools().collect();
    let heaviest = pools.iter().copied().max_by_key(|pool| pool.weight);
    let alpha = Shares::of(rates.alpha);
    let whole = Sequential::new(
        question(0.25),
        alpha.whole / pools.len() as f64,
        rates.power,
    )?;
    let of_kind = Sequential::new(question(0.5), alpha.kind, rates.power)?;
    let whole = pools.into_iter().map(|pool| PoolTest {
        pool,
        kind: None,
        test: whole.clone(),
    });
    let of_kind = heaviest.into_iter().flat_map(|pool| {
        Kind::ALL.map(|kind| PoolTest {
            pool,
            kind: Some(kind),
            test: of_kind.clone(),
        })
    });
    Ok(whole.chain(of_kind).collect())
}

async fn less_loaded(ctx: &Context) -> Result<Outcome> {
    let model = CanaryToLoad::find(&ctx.target)?;
    let tests = tests(model, &ctx.rates)?;
    let pools = model.weighted_pools();
    let busy = pools.filter_map(|pool| pool.endpoints.first());
    let busy: Vec<&str> = busy.map(|endpoint| endpoint.name.as_str()).collect();
    loaded::judge(ctx, model, &busy, Load::Waiting(WAITING), &tests).await
}
