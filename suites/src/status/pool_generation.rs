//! The conditions of a pool carry the generation that they are about.

use anyhow::Result;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::Effort;
use poolproof_cases::expect::Found;
use poolproof_cases::need::{Find, Statuses};
use poolproof_model::status::{Report, Reported};
use poolproof_model::verdict::{Findings, Outcome};

use super::conditions::{condition, parent, pool_is_accepted, settle};
use super::objects::{GATEWAY, POOL, route, with_routes};

pub(super) const CASE: Case = Case {
    id: "status/pool-generation",
    requirement: "The conditions of an InferencePool carry its current generation, also after an edit.",
    level: Level::Should,
    source: "Kubernetes API conventions, typical status properties (observedGeneration)",
    needs: &[Statuses::NEED],
    alpha_parts: 0,
    plan: |_, _| Ok(Effort::requests(0)),
    run: |ctx| Box::pin(pool_generation(ctx)),
};

async fn pool_generation(ctx: &Context) -> Result<Outcome> {
    let mut findings = Findings::default();
    let mut objects = with_routes(vec![route("route", GATEWAY)]);
    for (number, when) in (0..).zip(["a new pool", "a pool that was edited"]) {
        objects.pools[0].port += number;
        ctx.arrange(&objects).await?;
        if !settle(ctx, when, &mut findings, current).await? {
            break;
        }
    }
    Ok(findings.outcome("conditions of a pool carry its generation, also after an edit"))
}

fn current(report: &Report) -> Vec<Found> {
    let mut found = pool_is_accepted(report, POOL, &[GATEWAY]);
    let nothing = Reported::default();
    let pool = report.pools.get(POOL).unwrap_or(&nothing);
    if let Some(parent) = parent(&pool.parents, GATEWAY) {
        found.extend(parent.conditions.iter().map(|shown| {
            let generation = Some(pool.generation);
            let wanted = (shown.kind.as_str(), "True");
            condition("pool", &parent.conditions, generation, wanted, None)
        }));
    }
    found
}
