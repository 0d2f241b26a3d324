//! A Gateway, a route and a pool that are in order are reported so, for the current generation of each.

use anyhow::Result;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::Effort;
use poolproof_cases::expect::Found;
use poolproof_cases::need::{Find, Statuses};
use poolproof_model::status::{Report, Reported};
use poolproof_model::verdict::{Findings, Outcome};

use super::conditions::{condition, pool_is_accepted, route_is_good, settle};
use super::objects::{GATEWAY, POOL, route, with_routes};

pub(super) const CASE: Case = Case {
    id: "status/accepted",
    requirement: "A Gateway, an HTTPRoute and its InferencePool that are in order have true conditions, written by the \
                  controller of their class; those of the Gateway and the route follow each new generation.",
    level: Level::Must,
    source: "Gateway API v1.5, GatewayConditionType, RouteConditionType and implementers' guide (observedGeneration); GIE v1.5.0 \
             conformance, InferencePoolAccepted; linkerd/linkerd2#14964",
    needs: &[Statuses::NEED],
    alpha_parts: 0,
    plan: |_, _| Ok(Effort::requests(0)),
    run: |ctx| Box::pin(accepted(ctx)),
};

async fn accepted(ctx: &Context) -> Result<Outcome> {
    let mut findings = Findings::default();
    let mut objects = with_routes(vec![route("route", GATEWAY)]);
    ctx.arrange(&objects).await?;
    if settle(ctx, "objects in order", &mut findings, in_order).await? {
        objects.gateways[0].port += 1;
        objects.routes[0].path.push_str("-edited");
        ctx.arrange(&objects).await?;
        let edited = |report: &Report| {
            let mut found = in_order(report);
            // Without a second generation nothing would be compared.
            found.push(is_edited("Gateway", report.gateways.get(GATEWAY)));
            found.push(is_edited("route", report.routes.get("route")));
            found
        };
        settle(ctx, "objects that were edited", &mut findings, edited).await?;
    }
    Ok(findings.outcome("conditions of a Gateway, a route and a pool are true, also after edits"))
}

fn in_order(report: &Report) -> Vec<Found> {
    let nothing = Reported::default();
    let gateway = report.gateways.get(GATEWAY).unwrap_or(&nothing);
    let generation = Some(gateway.generation);
    let conditions = &gateway.conditions;
    let mut found: Vec<Found> = ["Accepted", "Programmed"]
        .map(|kind| {
            condition(
                "Gateway",
                conditions,
                generation,
                (kind, "True"),
                Some(kind),
            )
        })
        .into();
    found.extend(route_is_good(report, "route", GATEWAY));
    found.extend(pool_is_accepted(report, POOL, &[GATEWAY]));
    found
}

fn is_edited(what: &str, object: Option<&Reported>) -> Found {
    let generation = object.map_or(0, |object| object.generation);
    let what = format!("generation of the edited {what}");
    poolproof_cases::expect::that(generation > 1, &what, "more than 1", generation)
}
