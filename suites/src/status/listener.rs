//! A route whose parent reference names a listener that its Gateway lacks is not accepted.

use anyhow::Result;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::Effort;
use poolproof_cases::need::{Find, Statuses};
use poolproof_model::status::LISTENER;
use poolproof_model::verdict::{Findings, Outcome};

use super::conditions::{self, route_is_good, settle};
use super::objects::{GATEWAY, route, with_routes};

pub(super) const CASE: Case = Case {
    id: "status/listener",
    requirement: "A route whose parent reference names a listener that does not exist has Accepted False with the reason \
                  NoMatchingParent, and Accepted True once it names one that exists.",
    level: Level::Must,
    source: "Gateway API v1.5, RouteReasonNoMatchingParent; conformance, HTTPRouteInvalidParentRefNotMatchingSectionName",
    needs: &[Statuses::NEED],
    alpha_parts: 0,
    plan: |_, _| Ok(Effort::requests(0)),
    run: |ctx| Box::pin(listener(ctx)),
};

async fn listener(ctx: &Context) -> Result<Outcome> {
    let mut findings = Findings::default();
    let mut objects = with_routes(vec![route("route", GATEWAY)]);
    objects.routes[0].listener = Some("absent".to_owned());
    ctx.arrange(&objects).await?;
    let refused = [("Accepted", "False", Some("NoMatchingParent"))];
    let refused = settle(ctx, "no such listener", &mut findings, |report| {
        conditions::route(report, "route", GATEWAY, &refused)
    });
    if refused.await? {
        objects.routes[0].listener = Some(LISTENER.to_owned());
        ctx.arrange(&objects).await?;
        let good = settle(ctx, "a listener that exists", &mut findings, |report| {
            route_is_good(report, "route", GATEWAY)
        });
        good.await?;
    }
    Ok(findings.outcome(
        "a route to a listener that does not exist is not accepted until it names another",
    ))
}
