//! The port of a reference to a pool is not looked at.

use anyhow::Result;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::Effort;
use poolproof_cases::need::{Find, Statuses};
use poolproof_model::verdict::{Findings, Outcome};

use super::conditions::{pool_is_accepted, route_is_good, settle};
use super::objects::{GATEWAY, POOL, POOL_PORT, route, with_routes};

pub(super) const CASE: Case = Case {
    id: "status/port",
    requirement: "A route to an InferencePool is accepted and resolved without a port, with the port of the pool, and with \
                  another one, which is ignored.",
    level: Level::Must,
    source: "GIE v1.5.0 conformance, InferencePoolHTTPRoutePortValidation; kgateway-dev/kgateway#11448",
    needs: &[Statuses::NEED],
    alpha_parts: 0,
    plan: |_, _| Ok(Effort::requests(0)),
    run: |ctx| Box::pin(port(ctx)),
};

const ROUTES: [(&str, Option<u16>); 3] = [
    ("no-port", None),
    ("port-of-pool", Some(POOL_PORT)),
    ("other-port", Some(POOL_PORT + 1)),
];

async fn port(ctx: &Context) -> Result<Outcome> {
    let mut findings = Findings::default();
    let routes = ROUTES.map(|(name, port)| {
        let mut route = route(name, GATEWAY);
        route.backend.port = port;
        route
    });
    ctx.arrange(&with_routes(routes.into())).await?;
    let good = settle(
        ctx,
        "references with and without ports",
        &mut findings,
        |report| {
            let routes = ROUTES.iter();
            let mut found: Vec<_> = routes
                .flat_map(|(name, _)| route_is_good(report, name, GATEWAY))
                .collect();
            found.extend(pool_is_accepted(report, POOL, &[GATEWAY]));
            found
        },
    );
    good.await?;
    Ok(findings
        .outcome("routes without a port, with that of the pool, and with another one are resolved"))
}
