//! The queue of an endpoint with two engines is that of both: a picker that reads one of them is found.

use anyhow::Result;
use poolproof_cases::budget::Rates;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::need::{EndpointNames, Faults, Find, PoolToLoad};
use poolproof_client::evidence::control;
use poolproof_model::target::{Endpoint, Pool};
use poolproof_model::verdict::{Outcome, Verdict};
use poolproof_stats::binomial::Question;
use poolproof_stats::sequential::Sequential;
use serde_json::json;

use super::busy::{WAITING, blind_at_times};
use crate::loaded::{self, Load, PoolTest};

pub(super) const CASE: Case = Case {
    id: "distribution/two-engines",
    requirement: "An endpoint with two engines, of which either has a queue, gets (almost) nothing while the other endpoints have none.",
    level: Level::Should,
    source: "vLLM V1, vllm/v1/metrics/loggers.py: a series for each engine, by the label `engine`; \
             kubernetes-sigs/gateway-api-inference-extension#2950; volcano-sh/kthena#1782",
    needs: &[PoolToLoad::NEED, EndpointNames::NEED, Faults::NEED],
    alpha_parts: 1,
    plan: |target, rates| {
        let (model, pool) = Faults::find(target)?;
        let one = loaded::effort(model, 1, &[test(pool, rates)?]);
        Ok(one.times(ENGINES))
    },
    run: |ctx| Box::pin(two_engines(ctx)),
};

const ENGINES: usize = 2;

/// A picker that does not see the queue picks as if there were none.
fn test<'a>(pool: &'a Pool, rates: &Rates) -> Result<PoolTest<'a>> {
    let question = Question::AtMost {
        null: 0.02,
        bad: blind_at_times(pool),
    };
    let test = Sequential::new(question, rates.alpha / ENGINES as f64, rates.power)?;
    let kind = None;
    Ok(PoolTest { pool, kind, test })
}

async fn two_engines(ctx: &Context) -> Result<Outcome> {
    let (model, pool) = Faults::find(&ctx.target)?;
    let tests = [test(pool, &ctx.rates)?];
    let mut all = Outcome::pass("");
    let mut summaries = Vec::new();
    for engine in 0..ENGINES {
        let endpoint = &pool.endpoints[engine % pool.endpoints.len()];
        show(ctx, endpoint, engine).await?;
        let load = Load::Waiting(WAITING);
        let one = loaded::judge(ctx, model, &[&endpoint.name], load, &tests).await?;
        summaries.push(format!("queue on engine {engine}: {}", one.summary));
        if one.verdict != Verdict::Pass && all.verdict != Verdict::Fail {
            all.verdict = one.verdict;
        }
        let of_engine = |what: &str| format!("{what}, by its engine {engine} of {ENGINES}");
        for mut mismatch in one.mismatches {
            mismatch.what = of_engine(&mismatch.what);
            all.mismatches.push(mismatch);
        }
        for mut statistic in one.statistics {
            statistic.of = of_engine(&statistic.of);
            all.statistics.push(statistic);
        }
        all.evidence.extend(one.evidence);
    }
    all.summary = summaries.join("; ");
    Ok(all)
}

/// Has an endpoint show two engines, with all its load on one of them.
async fn show(ctx: &Context, endpoint: &Endpoint, engine: usize) -> Result<()> {
    let (http, shown) = (ctx.http.clone(), endpoint.clone());
    ctx.undo("engines of an endpoint", async move {
        let one = json!({"engines": 1, "busy_engine": 0});
        control::change_settings(&http, &shown, &one).await
    });
    let two = json!({"engines": ENGINES, "busy_engine": engine});
    control::change_settings(&ctx.http, endpoint, &two).await
}
