//! Which cases must fail under which flaw: the counter-proof of every case. And which may: all others must pass beside it.

use poolproof_fixtures::flaw::Flaw;
use poolproof_harness::case::Catch;

const fn catch(
    flaw: Flaw,
    must_fail: &'static [&'static str],
    may_fail: &'static [&'static str],
) -> Catch {
    Catch {
        flaw,
        must_fail,
        may_fail,
    }
}

/// Where a picker that is blind to load is seen.
const LOAD_BLIND: &[&str] = &[
    "distribution/one-busy",
    "distribution/two-busy",
    "distribution/each-in-turn",
    "canary/less-loaded",
];

/// Where a wrong pick now and then may be seen. Wrong picks pile up where load is, until that alone saturates the pool.
const PICKS: &[&str] = &[
    "distribution",
    "canary/less-loaded",
    "priority/shed",
    "faults",
];

/// Cases that ask for a model that no route has.
const UNKNOWN: &[&str] = &["routing/unknown-model", "routing/exact-name"];

/// Other cases in which some requests are for no model that is there.
const NOWHERE: &[&str] = &[
    "routing/invalid-model",
    "routing/blanks",
    "routing/spoofed-model-header",
    "routing/chunked-body",
];

/// Streams that are not counted by the hundred: the one in 50 that is damaged may be among them.
const FEW_STREAMS: &[&str] = &[
    "routing/known-model",
    "routing/stream-unbuffered",
    "canary/live-shift",
    "faults",
];

/// Where objectives are edited, if they count for something before.
const EDITED: &[&str] = &["priority/objective-edited"];

const SPLITS: &[&str] = &["canary/split-keep-alive", "canary/split-new-connections"];
const ALL_SPLITS: &[&str] = &[
    "canary/split-keep-alive",
    "canary/split-new-connections",
    "canary/windows",
];

/// For each flaw the cases that must fail while it is switched on, and those that may.
#[rustfmt::skip]
pub const CATCHES: &[Catch] = &[
    catch(Flaw::CatchAllRoute, &["routing/unknown-model", "routing/invalid-model"],
        &["routing/exact-name", "routing/blanks", "routing/spoofed-model-header", "routing/chunked-body"]),
    catch(Flaw::TrustedModelHeader, &["routing/spoofed-model-header"], &[]),
    catch(Flaw::PrefixMatch, &["routing/exact-name"], &["routing/blanks"]),
    catch(Flaw::CaseInsensitiveMatch, &["routing/exact-name"], &[]),
    catch(Flaw::TrimmedModelName, &["routing/blanks"], &[]),
    catch(Flaw::AdapterUnrouted, &["routing/adapter"], &[]),
    catch(Flaw::AdapterAsModel, &["routing/adapter"], &[]),
    catch(Flaw::CrossedRoutes, &["routing/known-model"], &["routing", "canary", "distribution", "priority", "faults"]),
    catch(Flaw::ChatRouteMissing, &["routing/known-model"], &["routing/chunked-body"]),
    catch(Flaw::TrustedDestinationHeader, &["routing/spoofed-destination"], &[]),
    catch(Flaw::BodyCut64k, &["routing/late-model"], &[]),
    catch(Flaw::ChunkedBodyIgnored, &["routing/chunked-body"], &[]),
    catch(Flaw::OversizeRouted, &["routing/body-limit"], &[]),
    catch(Flaw::Split8020, SPLITS, &["canary/windows", "canary/live-shift"]),
    catch(Flaw::Split8713, SPLITS, &["canary/windows", "canary/live-shift"]),
    catch(Flaw::SplitPerConnection, &["canary/split-keep-alive"], &["canary/windows", "canary/less-loaded", "canary/live-shift"]),
    catch(Flaw::SplitInTurns, &["canary/windows"], &["canary"]),
    // One request in a hundred is served by a pool that has no share in its model.
    catch(Flaw::WeightZeroLeak, &["canary/weight-zero"], &["routing", "canary/live-shift", "priority/shed"]),
    catch(Flaw::EscapedModelName, &["routing/exact-name"], &[]),
    catch(Flaw::ProviderDropped, &["routing/exact-name"], &[]),
    catch(Flaw::RepeatedHeaderTrusted, &["routing/spoofed-model-header"], &[]),
    catch(Flaw::UnknownRun, UNKNOWN, &["routing/spoofed-model-header"]),
    catch(Flaw::UnknownStreamRouted, &["routing/unknown-model"], &[]),
    catch(Flaw::Unknown503, UNKNOWN, NOWHERE),
    catch(Flaw::Unknown200, UNKNOWN, NOWHERE),
    catch(Flaw::UnknownSlow, &["routing/unknown-model"], &[]),
    catch(Flaw::CanaryStarved, ALL_SPLITS, &["canary/less-loaded", "canary/live-shift"]),
    catch(Flaw::PickIgnored, &["distribution/two-busy"], &["routing/known-model", "canary", "distribution", "priority", "faults"]),
    catch(Flaw::ObjectiveLost, &["priority/held-order", "priority/shed"], EDITED),
    catch(Flaw::OneIn500Lost, &["canary/windows"], &["routing/stream-intact", "canary", "distribution", "priority", "faults"]),
    catch(Flaw::WeightsStuck, &["canary/live-shift"], &[]),
    catch(Flaw::ReloadCuts, &["canary/live-shift"], &[]),
    catch(Flaw::PickerDownOpen, &["faults/picker-down"], &[]),
    catch(Flaw::FailOpenIgnored, &["faults/picker-down-open"], &[]),
    catch(Flaw::PickerDownHangs, &["faults/picker-down", "faults/picker-down-open"], &[]),
    catch(Flaw::BrokenStreamFinished, &["faults/endpoint-killed"], &[]),
    catch(Flaw::StreamBuffered, &["routing/stream-unbuffered"], &[]),
    catch(Flaw::StreamCut, &["routing/stream-intact"], FEW_STREAMS),
    catch(Flaw::StreamRepeated, &["routing/stream-intact"], FEW_STREAMS),
    catch(Flaw::StreamReordered, &["routing/stream-intact"], FEW_STREAMS),
    catch(Flaw::StreamEndLost, &["routing/known-model", "routing/stream-intact"], FEW_STREAMS),
    catch(Flaw::OnePickerPerRule, &["routing/known-model"],
        &["routing/adapter", "routing/chunked-body", "canary/less-loaded", "canary/live-shift", "priority", "faults"]),
    catch(Flaw::ServedTwice, &["routing/known-model"],
        &["routing/adapter", "routing/chunked-body", "canary", "distribution", "priority", "faults"]),
    catch(Flaw::BodySentCut, &["routing/late-model"], &[]),
    catch(Flaw::RoundRobin, LOAD_BLIND, PICKS),
    catch(Flaw::Random, LOAD_BLIND, PICKS),
    // A picker that believes in idle endpoints never takes its pool to be saturated.
    catch(Flaw::StaleMetrics, &["distribution/one-busy", "distribution/follows-load"],
        &["distribution", "canary/less-loaded", "priority", "faults"]),
    catch(Flaw::KvIgnored, &["distribution/kv-pressure"], &[]),
    // With two endpoints in a pool and one of them starved, all goes to the other, busy or not, until it fills the pool.
    // What one endpoint less takes piles up at the others.
    catch(Flaw::StarvedEndpoint, &["distribution/idle"], &["canary/less-loaded", "distribution/metrics-gone", "priority/shed"]),
    catch(Flaw::MetricsMagnet, &["distribution/metrics-gone"], &["faults/endpoint-killed"]),
    catch(Flaw::GhostEndpoint, &["faults/endpoint-removed"], &[]),
    catch(Flaw::PartlyRandom, &["distribution/one-busy", "distribution/two-busy"], PICKS),
    catch(Flaw::LateMetrics, &["distribution/one-busy"], &["distribution", "canary/less-loaded", "priority", "faults"]),
    catch(Flaw::BlindSpot, &["distribution/two-busy", "distribution/each-in-turn"], &["priority/shed"]),
    catch(Flaw::PriorityIgnored, &["priority/held-order"], &["priority/shed", "priority/objective-edited"]),
    catch(Flaw::ObjectiveEditIgnored, EDITED, &[]),
    catch(Flaw::PriorityInverted, &["priority/held-order", "priority/shed"], EDITED),
    catch(Flaw::PriorityAtTimes, &["priority/held-order"], EDITED),
    catch(Flaw::InteractiveRefusedAtTimes, &["priority/interactive-admitted", "priority/held-order", "priority/shed"],
        &["priority/batch-served-after", "priority/objective-edited"]),
    // Whoever is refused is not held, so that nothing can be said of what is; and missing metrics count as saturated.
    catch(Flaw::InteractiveShed, &["priority/interactive-admitted", "priority/shed"],
        &["priority/held-order", "priority/batch-served-after", "priority/objective-edited", "distribution/metrics-gone"]),
    catch(Flaw::NeverShed, &["priority/shed"], &[]),
    catch(Flaw::ShedEarly, &["priority/shed"], &[]),
    catch(Flaw::BatchDelayed, &["priority/uncontended"], &[]),
    catch(Flaw::BatchLost, &["priority/batch-served-after"], &["priority/held-order", "priority/objective-edited"]),
];
