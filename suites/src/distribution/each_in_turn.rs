//! Each endpoint of a pool is busy in turn: a picker that sees the load of some only is found.

use anyhow::Result;
use poolproof_cases::budget::Rates;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::need::{EndpointNames, Find, PoolToLoad};
use poolproof_model::target::Pool;
use poolproof_model::verdict::{Outcome, Verdict};
use poolproof_stats::binomial::Question;
use poolproof_stats::sequential::Sequential;

use super::busy::{WAITING, blind_at_times};
use crate::loaded::{self, Load, PoolTest};

pub(super) const CASE: Case = Case {
    id: "distribution/each-in-turn",
    requirement: "Whichever endpoint of a pool has a queue, it gets (almost) nothing while the others have none.",
    level: Level::Must,
    source: "GIE v1.5.0, queue-scorer: P/scheduling/scorer/queuedepth",
    needs: &[PoolToLoad::NEED, EndpointNames::NEED],
    alpha_parts: 1,
    plan: |target, rates| {
        let (model, pool) = PoolToLoad::find(target)?;
        let one = loaded::effort(model, 1, &[test(pool, rates)?]);
        Ok(one.times(pool.endpoints.len()))
    },
    run: |ctx| Box::pin(each_in_turn(ctx)),
};

fn test<'a>(pool: &'a Pool, rates: &Rates) -> Result<PoolTest<'a>> {
    let question = Question::AtMost {
        null: 0.02,
        bad: blind_at_times(pool),
    };
    let alpha = rates.alpha / pool.endpoints.len() as f64;
    let test = Sequential::new(question, alpha, rates.power)?;
    let kind = None;
    Ok(PoolTest { pool, kind, test })
}

async fn each_in_turn(ctx: &Context) -> Result<Outcome> {
    let (model, pool) = PoolToLoad::find(&ctx.target)?;
    let tests = [test(pool, &ctx.rates)?];
    let mut all = Outcome::pass("");
    let mut summaries = Vec::new();
    for endpoint in &pool.endpoints {
        let load = Load::Waiting(WAITING);
        let one = loaded::judge(ctx, model, &[&endpoint.name], load, &tests).await?;
        summaries.push(one.summary);
        if one.verdict != Verdict::Pass && all.verdict != Verdict::Fail {
            all.verdict = one.verdict;
        }
        all.mismatches.extend(one.mismatches);
        all.statistics.extend(one.statistics);
        all.evidence.extend(one.evidence);
    }
    all.summary = summaries.join("; ");
    Ok(all)
}
