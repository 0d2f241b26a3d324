//! What a report must show, and the wait for it.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use poolproof_cases::context::Context;
use poolproof_cases::expect::{self, Found};
use poolproof_client::poll;
use poolproof_model::status::{Condition, Parent, Report, Reported};
use poolproof_model::verdict::Findings;

/// Between two reports. Each of them reads every object.
const INTERVAL: Duration = Duration::from_millis(25);

/// Waits until a report shows all that is expected, within the time that conditions have. Adds what the last report
/// showed. Returns whether it was shown.
pub(super) async fn settle(
    ctx: &Context,
    when: &str,
    findings: &mut Findings,
    check: impl Fn(&Report) -> Vec<Found>,
) -> Result<bool> {
    let last: Mutex<Result<Vec<Found>>> = Mutex::new(Ok(Vec::new()));
    let begun = Instant::now();
    let timeout = ctx.timeouts.conditions;
    let settled = poll::until(when, timeout, INTERVAL, || async {
        let found = ctx.report().await.map(|report| check(&report));
        let holds = found
            .as_ref()
            .is_ok_and(|found| found.iter().all(Result::is_ok));
        // A panic while the lock was held cannot leave a partial result.
        *last.lock().unwrap_or_else(PoisonError::into_inner) = found;
        holds.then_some(())
    });
    let settled = settled.await.is_ok();
    let took = begun.elapsed();
    let last = last.into_inner().unwrap_or_else(PoisonError::into_inner)?;
    findings.note(if settled {
        format!("{when}: true after {took:.1?}")
    } else {
        format!("{when}: not true within {timeout:?}")
    });
    if last.is_empty() {
        let none = expect::that(false, when, "a report", "none in time");
        findings.add(none);
    }
    for found in last {
        findings.add(found);
    }
    Ok(settled)
}

/// Expects a condition with a status, for the current generation of its object. `reason`: the one that it must have.
pub(super) fn condition(
    of: &str,
    conditions: &[Condition],
    generation: Option<i64>,
    (kind, status): (&str, &str),
    reason: Option<&str>,
) -> Found {
    let shown = conditions.iter().find(|condition| condition.kind == kind);
    let holds = shown.is_some_and(|shown| {
        shown.status == status
            && reason.map_or(!shown.reason.is_empty(), |reason| shown.reason == reason)
            && (generation.is_none() || shown.observed_generation == generation)
    });
    let generation = generation.map_or(String::new(), |generation| {
        format!(", observed generation {generation}")
    });
    let expected = format!("{status}, reason {}{generation}", reason.unwrap_or("any"));
    expect::that(holds, &format!("{kind} of {of}"), expected, describe(shown))
}

fn describe(condition: Option<&Condition>) -> String {
    let Some(condition) = condition else {
        return "no such condition".to_owned();
    };
    let generation = match condition.observed_generation {
        Some(generation) => format!("observed generation {generation}"),
        None => "no observed generation".to_owned(),
    };
    format!(
        "{}, reason {:?}, {generation}",
        condition.status, condition.reason
    )
}

/// Expects that a route has one parent, the named Gateway, with these conditions: each with its status, and the reason that it
/// must have.
pub(super) fn route(
    report: &Report,
    name: &str,
    gateway: &str,
    wanted: &[(&str, &str, Option<&str>)],
) -> Vec<Found> {
    let nothing = Reported::default();
    let route = report.routes.get(name).unwrap_or(&nothing);
    let of = format!("route {name}");
    let mut found = vec![parents(&of, &route.parents, &[gateway])];
    let Some(parent) = parent(&route.parents, gateway) else {
        return found;
    };
    found.push(controller(&of, parent, report));
    found.extend(wanted.iter().map(|(kind, status, reason)| {
        let generation = Some(route.generation);
        condition(&of, &parent.conditions, generation, (kind, status), *reason)
    }));
    found
}

/// Expects that a route is accepted, and its references are resolved.
pub(super) fn route_is_good(report: &Report, name: &str, gateway: &str) -> Vec<Found> {
    let good = [
        ("Accepted", "True", Some("Accepted")),
        ("ResolvedRefs", "True", Some("ResolvedRefs")),
    ];
    route(report, name, gateway, &good)
}

/// Expects that a route is accepted, and its references are not resolved, for this reason.
pub(super) fn route_is_unresolved(
    report: &Report,
    name: &str,
    gateway: &str,
    reason: &str,
) -> Vec<Found> {
    let wanted = [
        ("Accepted", "True", Some("Accepted")),
        ("ResolvedRefs", "False", Some(reason)),
    ];
    route(report, name, gateway, &wanted)
}

/// Expects that the parents of a pool are exactly these Gateways, and that each accepts it.
pub(super) fn pool_is_accepted(report: &Report, name: &str, gateways: &[&str]) -> Vec<Found> {
    let nothing = Reported::default();
    let pool = report.pools.get(name).unwrap_or(&nothing);
    let of = format!("pool {name}");
    let mut found = vec![parents(&of, &pool.parents, gateways)];
    for parent in &pool.parents {
        let of = format!("{of} at {}", parent.gateway);
        let conditions = &parent.conditions;
        found.push(condition(&of, conditions, None, ("Accepted", "True"), None));
        // A gateway need not write the other condition if there is nothing wrong.
        if conditions.iter().any(|it| it.kind == "ResolvedRefs") {
            found.push(condition(
                &of,
                conditions,
                None,
                ("ResolvedRefs", "True"),
                None,
            ));
        }
    }
    found
}

/// The parent with this name.
pub(super) fn parent<'a>(parents: &'a [Parent], gateway: &str) -> Option<&'a Parent> {
    parents.iter().find(|parent| parent.gateway == gateway)
}

/// Expects one entry for each of these Gateways, and no other.
fn parents(of: &str, parents: &[Parent], wanted: &[&str]) -> Found {
    let mut shown: Vec<&str> = parents
        .iter()
        .map(|parent| parent.gateway.as_str())
        .collect();
    shown.sort_unstable();
    let mut expected = wanted.to_vec();
    expected.sort_unstable();
    let words = |names: &[&str]| match names {
        [] => "none".to_owned(),
        names => names.join(", "),
    };
    let what = format!("status.parents of {of}");
    expect::that(shown == expected, &what, words(&expected), words(&shown))
}

/// Expects that the controller of the GatewayClass has written the status of a parent.
fn controller(of: &str, parent: &Parent, report: &Report) -> Found {
    let words = |name: &Option<String>| name.clone().unwrap_or_else(|| "none".to_owned());
    expect::that(
        parent.controller.is_some() && parent.controller == report.controller,
        &format!("controllerName of {of}"),
        words(&report.controller),
        words(&parent.controller),
    )
}
