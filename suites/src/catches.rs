//! Which cases must fail under which flaw: the counter-proof of every case.

use poolproof_fixtures::flaw::Flaw;
use poolproof_harness::case::Catch;

const fn catch(flaw: Flaw, cases: &'static [&'static str]) -> Catch {
    Catch { flaw, cases }
}

const LOAD_BLIND: &[&str] = &[
    "distribution/one-busy",
    "distribution/two-busy",
    "distribution/each-in-turn",
    "canary/less-loaded",
];

/// For each flaw the cases that must fail while it is switched on. Others may fail too.
pub const CATCHES: &[Catch] = &[
    catch(
        Flaw::CatchAllRoute,
        &["routing/unknown-model", "routing/invalid-model"],
    ),
    catch(Flaw::TrustedModelHeader, &["routing/spoofed-model-header"]),
    catch(Flaw::PrefixMatch, &["routing/exact-name"]),
    catch(Flaw::CaseInsensitiveMatch, &["routing/exact-name"]),
    catch(Flaw::TrimmedModelName, &["routing/blanks"]),
    catch(Flaw::CrossedRoutes, &["routing/known-model"]),
    catch(Flaw::ChatRouteMissing, &["routing/known-model"]),
    catch(
        Flaw::TrustedDestinationHeader,
        &["routing/spoofed-destination"],
    ),
    catch(Flaw::BodyCut64k, &["routing/late-model"]),
    catch(Flaw::ChunkedBodyIgnored, &["routing/chunked-body"]),
    catch(Flaw::OversizeRouted, &["routing/body-limit"]),
    catch(
        Flaw::Split8020,
        &["canary/split-keep-alive", "canary/split-new-connections"],
    ),
    catch(
        Flaw::Split8713,
        &["canary/split-keep-alive", "canary/split-new-connections"],
    ),
    catch(Flaw::SplitPerConnection, &["canary/split-keep-alive"]),
    catch(Flaw::SplitInTurns, &["canary/windows"]),
    catch(Flaw::WeightZeroLeak, &["canary/weight-zero"]),
    catch(Flaw::RoundRobin, LOAD_BLIND),
    catch(Flaw::Random, LOAD_BLIND),
    catch(
        Flaw::StaleMetrics,
        &["distribution/one-busy", "distribution/follows-load"],
    ),
    catch(Flaw::KvIgnored, &["distribution/kv-pressure"]),
    catch(Flaw::StarvedEndpoint, &["distribution/idle"]),
    catch(Flaw::MetricsMagnet, &["distribution/metrics-gone"]),
    catch(Flaw::PriorityIgnored, &["priority/held-order"]),
    catch(
        Flaw::PriorityInverted,
        &["priority/held-order", "priority/shed"],
    ),
    catch(
        Flaw::InteractiveShed,
        &["priority/interactive-admitted", "priority/shed"],
    ),
    catch(Flaw::NeverShed, &["priority/shed"]),
    catch(Flaw::ShedEarly, &["priority/shed"]),
    catch(Flaw::BatchDelayed, &["priority/uncontended"]),
    catch(Flaw::BatchLost, &["priority/batch-served-after"]),
];
