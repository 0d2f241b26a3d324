//! The status of a pool names the Gateways that use it, and no other.

use anyhow::Result;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::Effort;
use poolproof_cases::need::{Find, Statuses};
use poolproof_model::status::Arrangement;
use poolproof_model::verdict::{Findings, Outcome};

use super::conditions::{pool_is_accepted, settle};
use super::objects::{POOL, gateway, pool, route};

pub(super) const CASE: Case = Case {
    id: "status/parents",
    requirement: "The status of an InferencePool has one entry for each Gateway whose route uses it, and loses it when that \
                  route is gone.",
    level: Level::Must,
    source: "GIE v1.5.0, InferencePoolStatus; conformance, InferencePoolResolvedRefsCondition; envoyproxy/ai-gateway#1331",
    needs: &[Statuses::NEED],
    alpha_parts: 0,
    plan: |_, _| Ok(Effort::requests(0)),
    run: |ctx| Box::pin(parents(ctx)),
};

async fn parents(ctx: &Context) -> Result<Outcome> {
    let mut findings = Findings::default();
    let phases: [(&[&str], &str); 5] = [
        (&["first"], "a route of one Gateway"),
        (&["first", "second"], "routes of two Gateways"),
        (&["second"], "the first route deleted"),
        (&["first", "second"], "the first route created again"),
        (&[], "both routes deleted"),
    ];
    for (users, when) in phases {
        let routes = users
            .iter()
            .map(|gateway| route(&format!("of-{gateway}"), gateway));
        let objects = Arrangement {
            gateways: vec![gateway("first"), gateway("second")],
            routes: routes.collect(),
            pools: vec![pool()],
            grant: false,
        };
        ctx.arrange(&objects).await?;
        let followed = settle(ctx, when, &mut findings, |report| {
            pool_is_accepted(report, POOL, users)
        });
        if !followed.await? {
            break;
        }
    }
    Ok(findings.outcome("status.parents of a pool follows the routes of two Gateways"))
}
