//! A route to a pool that does not exist, or to an object of an unknown kind, has unresolved references.

use anyhow::Result;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::Effort;
use poolproof_cases::need::{Find, Statuses};
use poolproof_model::verdict::{Findings, Outcome};

use super::conditions::{route_is_good, route_is_unresolved, settle};
use super::objects::{GATEWAY, pool, route, with_routes};

pub(super) const CASE: Case = Case {
    id: "status/missing-pool",
    requirement: "A route is accepted, and has ResolvedRefs False with the reason BackendNotFound exactly while its InferencePool \
                  does not exist; with the reason InvalidKind if it refers to an unknown kind.",
    level: Level::Must,
    source: "Gateway API v1.5, RouteReasonBackendNotFound and RouteReasonInvalidKind; GIE v1.5.0 conformance, \
             HTTPRouteInvalidInferencePoolRef; kgateway-dev/kgateway#11621",
    needs: &[Statuses::NEED],
    alpha_parts: 0,
    plan: |_, _| Ok(Effort::requests(0)),
    run: |ctx| Box::pin(missing_pool(ctx)),
};

async fn missing_pool(ctx: &Context) -> Result<Outcome> {
    let mut findings = Findings::default();
    let mut objects = with_routes(vec![route("route", GATEWAY), route("unknown", GATEWAY)]);
    objects.routes[1].backend.unknown_kind = true;
    let phases = [
        (false, "a pool that does not exist yet"),
        (true, "a pool that exists"),
        (false, "a pool that was deleted"),
    ];
    for (exists, when) in phases {
        objects.pools = if exists { vec![pool()] } else { Vec::new() };
        ctx.arrange(&objects).await?;
        let followed = settle(ctx, when, &mut findings, |report| {
            let mut found = if exists {
                route_is_good(report, "route", GATEWAY)
            } else {
                route_is_unresolved(report, "route", GATEWAY, "BackendNotFound")
            };
            let unknown = route_is_unresolved(report, "unknown", GATEWAY, "InvalidKind");
            found.extend(unknown);
            found
        });
        if !followed.await? {
            break;
        }
    }
    Ok(findings.outcome(
        "ResolvedRefs of a route follows its pool; a reference of an unknown kind is unresolved",
    ))
}
