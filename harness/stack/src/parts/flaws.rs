//! The table of which part can show which flaw. A real part can show those that a configuration can cause; poolproof's
//! own parts can show all.

use anyhow::{Result, bail};
use poolproof_fixtures::flaw::{Component, Flaw};

use poolproof_model::parts::{EndpointPicker, Gateway, Parts, StackKind};
use poolproof_model::topology::Topology;

/// The flaws that a part can show.
enum Shows {
    All,
    Only(&'static [Flaw]),
}

fn gateway(gateway: Gateway, kind: StackKind) -> Shows {
    match gateway {
        Gateway::Agentgateway if kind.is_cluster() => {
            Shows::Only(&[Flaw::Split8020, Flaw::Split8713, Flaw::WeightZeroLeak])
        }
        Gateway::Agentgateway => Shows::Only(&[
            Flaw::CatchAllRoute,
            Flaw::AdapterUnrouted,
            Flaw::TrustedModelHeader,
            Flaw::PrefixMatch,
            Flaw::CaseInsensitiveMatch,
            Flaw::ProviderDropped,
            Flaw::CrossedRoutes,
            Flaw::ChatRouteMissing,
            Flaw::Split8020,
            Flaw::Split8713,
            Flaw::CanaryStarved,
            Flaw::WeightZeroLeak,
            Flaw::Unknown503,
            Flaw::Unknown200,
            Flaw::ObjectiveLost,
        ]),
        // Not `prefix-match`: for a name that it does not know, the body-based router leaves the header empty.
        Gateway::Envoy => Shows::Only(&[
            Flaw::CatchAllRoute,
            Flaw::AdapterUnrouted,
            Flaw::TrustedModelHeader,
            Flaw::CrossedRoutes,
            Flaw::ChatRouteMissing,
            Flaw::Split8020,
            Flaw::Split8713,
            Flaw::CanaryStarved,
            Flaw::WeightZeroLeak,
        ]),
        Gateway::Poolproof => Shows::All,
    }
}

fn picker(picker: EndpointPicker) -> Shows {
    match picker {
        // Through its configuration or its objectives.
        EndpointPicker::GieLight => Shows::Only(&[]),
        EndpointPicker::Gie | EndpointPicker::LlmDRouter => Shows::Only(&[
            Flaw::Random,
            Flaw::KvIgnored,
            Flaw::PriorityIgnored,
            Flaw::PriorityInverted,
        ]),
        EndpointPicker::Poolproof => Shows::All,
    }
}

/// Whether a stack of this kind with these parts can show a flaw.
pub fn can_have(kind: StackKind, parts: Parts, flaw: Flaw) -> bool {
    let shows = match flaw.component() {
        Component::Gateway => gateway(parts.gateway, kind),
        Component::EndpointPicker => picker(parts.epp),
        Component::Controller if kind == StackKind::Embedded => Shows::All,
        Component::Controller => Shows::Only(&[]),
    };
    match shows {
        Shows::All => true,
        Shows::Only(flaws) => flaws.contains(&flaw),
    }
}

/// Fails if a stack of this kind with these parts cannot show the requested flaw.
pub(crate) fn check(kind: StackKind, parts: Parts, flaw: Option<Flaw>) -> Result<()> {
    if let Some(flaw) = flaw
        && !can_have(kind, parts, flaw)
    {
        bail!(
            "--flaw {flaw}: the {} of this stack cannot be made to have it; use --stack embedded",
            flaw.component()
        );
    }
    Ok(())
}

/// A timeout of a route that a self-test can wait for.
const ROUTE_TIMEOUT_MS: u64 = 2000;
/// A time after which held requests expire that a self-test can wait for.
const SHORT_TTL_MS: u64 = 2000;

/// Requests in progress that fill an endpoint, where they are counted.
const MAX_IN_FLIGHT: usize = 8;

/// The topology that shows a flaw: the default one, with one LoRA adapter per model if the flaw is about adapters, and
/// held requests that expire soon, routes with a timeout or pools that are filled by count if it is about them.
pub fn topology_showing(flaw: Option<Flaw>) -> Topology {
    let mut topology = Topology::default();
    if let Some(Flaw::AdapterUnrouted | Flaw::AdapterAsModel) = flaw {
        for model in &mut topology.models {
            model.adapters.push(format!("{}-lora", model.name));
        }
    }
    if flaw == Some(Flaw::RouteTimeoutIgnored) {
        for model in &mut topology.models {
            model.request_timeout_ms = Some(ROUTE_TIMEOUT_MS);
        }
    }
    if flaw == Some(Flaw::SilentUncounted) {
        for pool in topology
            .models
            .iter_mut()
            .flat_map(|model| &mut model.pools)
        {
            pool.max_in_flight = Some(MAX_IN_FLIGHT);
        }
    }
    if flaw == Some(Flaw::HeldNeverExpires) {
        for pool in topology
            .models
            .iter_mut()
            .flat_map(|model| &mut model.pools)
        {
            pool.held_ttl_ms = SHORT_TTL_MS;
        }
    }
    topology
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reference_parts_have_every_flaw_and_real_ones_some() {
        for flaw in Flaw::ALL {
            let own = Parts::default_of(StackKind::Embedded);
            assert!(can_have(StackKind::Embedded, own, *flaw), "{flaw}");
        }
        let parts = Parts::default_of(StackKind::Kind);
        assert!(can_have(StackKind::Containers, parts, Flaw::PrefixMatch));
        assert!(!can_have(StackKind::Kind, parts, Flaw::PrefixMatch));
        assert!(check(StackKind::Kind, parts, Some(Flaw::PrefixMatch)).is_err());
        assert!(check(StackKind::Kind, parts, None).is_ok());
    }
}
