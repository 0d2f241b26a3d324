//! A reference to a pool of another namespace holds exactly while a ReferenceGrant permits it.

use anyhow::Result;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::Effort;
use poolproof_cases::need::{Find, Statuses};
use poolproof_model::status::Place;
use poolproof_model::verdict::{Findings, Outcome};

use super::conditions::{pool_is_accepted, route_is_good, route_is_unresolved, settle};
use super::objects::{GATEWAY, POOL, route, with_routes};

pub(super) const CASE: Case = Case {
    id: "status/cross-namespace",
    requirement: "A route to an InferencePool of another namespace has ResolvedRefs True exactly while a ReferenceGrant there \
                  permits it, and otherwise False with the reason RefNotPermitted.",
    level: Level::Must,
    source: "Gateway API v1.5, ReferenceGrant and RouteReasonRefNotPermitted; volcano-sh/kthena#1544; agentgateway/agentgateway#3169",
    needs: &[Statuses::NEED],
    alpha_parts: 0,
    plan: |_, _| Ok(Effort::requests(0)),
    run: |ctx| Box::pin(cross_namespace(ctx)),
};

async fn cross_namespace(ctx: &Context) -> Result<Outcome> {
    let mut findings = Findings::default();
    let mut objects = with_routes(vec![route("route", GATEWAY)]);
    objects.pools[0].place = Place::Other;
    objects.routes[0].backend.place = Place::Other;
    let phases = [
        (false, "no grant yet"),
        (true, "a grant"),
        (false, "a grant that was deleted"),
    ];
    for (grant, when) in phases {
        objects.grant = grant;
        ctx.arrange(&objects).await?;
        let followed = settle(ctx, when, &mut findings, |report| {
            if grant {
                let mut found = route_is_good(report, "route", GATEWAY);
                let pool = format!("other/{POOL}");
                found.extend(pool_is_accepted(report, &pool, &[GATEWAY]));
                found
            } else {
                route_is_unresolved(report, "route", GATEWAY, "RefNotPermitted")
            }
        });
        if !followed.await? {
            break;
        }
    }
    Ok(findings.outcome("ResolvedRefs of a route to another namespace follows the ReferenceGrant"))
}
