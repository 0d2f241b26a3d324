//! A pool whose endpoint picker has no Service has unresolved references.

use anyhow::Result;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::Effort;
use poolproof_cases::expect::{self, Found};
use poolproof_cases::need::{Find, Statuses};
use poolproof_model::status::Report;
use poolproof_model::verdict::{Findings, Outcome};

use super::conditions::{condition, parent, pool_is_accepted, settle};
use super::objects::{GATEWAY, POOL, route, with_routes};

pub(super) const CASE: Case = Case {
    id: "status/missing-picker",
    requirement: "An InferencePool has ResolvedRefs False exactly while the Service of its endpoint picker does not exist.",
    level: Level::Must,
    source: "GIE v1.5.0, InferencePoolConditionResolvedRefs; conformance, InferencePoolInvalidEPPService; \
             kgateway-dev/kgateway#11621",
    needs: &[Statuses::NEED],
    alpha_parts: 0,
    plan: |_, _| Ok(Effort::requests(0)),
    run: |ctx| Box::pin(missing_picker(ctx)),
};

async fn missing_picker(ctx: &Context) -> Result<Outcome> {
    let mut findings = Findings::default();
    let mut objects = with_routes(vec![route("route", GATEWAY)]);
    let phases = [
        (false, "a picker that does not exist yet"),
        (true, "a picker that exists"),
        (false, "a picker that was deleted"),
    ];
    for (exists, when) in phases {
        objects.pools[0].picker = exists;
        ctx.arrange(&objects).await?;
        let check = if exists { resolved } else { unresolved };
        if !settle(ctx, when, &mut findings, check).await? {
            break;
        }
    }
    Ok(findings.outcome("ResolvedRefs of a pool follows the Service of its endpoint picker"))
}

fn resolved(report: &Report) -> Vec<Found> {
    pool_is_accepted(report, POOL, &[GATEWAY])
}

fn unresolved(report: &Report) -> Vec<Found> {
    let pool = report.pools.get(POOL);
    let shown = pool.and_then(|pool| parent(&pool.parents, GATEWAY));
    let Some(shown) = shown else {
        let what = "status.parents of the pool";
        return vec![expect::that(false, what, GATEWAY, "none")];
    };
    // The reason is not compared, as upstream does not.
    let wanted = ("ResolvedRefs", "False");
    vec![condition("pool", &shown.conditions, None, wanted, None)]
}
