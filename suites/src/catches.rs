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

const LOAD_BLIND: &[&str] = &[
    "distribution/one-busy",
    "distribution/two-busy",
    "distribution/each-in-turn",
    "canary/less-loaded",
];

const BLIND_BUT_BY_CHANCE: &[&str] = &[
    "distribution/kv-pressure",
    "distribution/follows-load",
    "distribution/metrics-gone",
];

const SPLITS: &[&str] = &["canary/split-keep-alive", "canary/split-new-connections"];

/// For each flaw the cases that must fail while it is switched on, and those that may.
pub const CATCHES: &[Catch] = &[
    catch(
        Flaw::CatchAllRoute,
        &["routing/unknown-model", "routing/invalid-model"],
        &[],
    ),
    catch(
        Flaw::TrustedModelHeader,
        &["routing/spoofed-model-header"],
        &[],
    ),
    catch(Flaw::PrefixMatch, &["routing/exact-name"], &[]),
    catch(Flaw::CaseInsensitiveMatch, &["routing/exact-name"], &[]),
    catch(Flaw::TrimmedModelName, &["routing/blanks"], &[]),
    catch(Flaw::CrossedRoutes, &["routing/known-model"], &[]),
    catch(Flaw::ChatRouteMissing, &["routing/known-model"], &[]),
    catch(
        Flaw::TrustedDestinationHeader,
        &["routing/spoofed-destination"],
        &[],
    ),
    catch(Flaw::BodyCut64k, &["routing/late-model"], &[]),
    catch(Flaw::ChunkedBodyIgnored, &["routing/chunked-body"], &[]),
    catch(Flaw::OversizeRouted, &["routing/body-limit"], &[]),
    catch(Flaw::Split8020, SPLITS, &[]),
    catch(Flaw::Split8713, SPLITS, &[]),
    catch(Flaw::SplitPerConnection, &["canary/split-keep-alive"], &[]),
    catch(Flaw::SplitInTurns, &["canary/windows"], &[]),
    catch(Flaw::WeightZeroLeak, &["canary/weight-zero"], &[]),
    catch(Flaw::EscapedModelName, &["routing/exact-name"], &[]),
    catch(Flaw::ProviderDropped, &["routing/exact-name"], &[]),
    catch(
        Flaw::RepeatedHeaderTrusted,
        &["routing/spoofed-model-header"],
        &[],
    ),
    catch(
        Flaw::UnknownRun,
        &["routing/unknown-model", "routing/exact-name"],
        &[],
    ),
    catch(Flaw::UnknownStreamRouted, &["routing/unknown-model"], &[]),
    catch(
        Flaw::Unknown503,
        &["routing/unknown-model", "routing/exact-name"],
        &[],
    ),
    catch(
        Flaw::Unknown200,
        &["routing/unknown-model", "routing/exact-name"],
        &[],
    ),
    catch(Flaw::UnknownSlow, &["routing/unknown-model"], &[]),
    catch(
        Flaw::CanaryStarved,
        &[
            "canary/split-keep-alive",
            "canary/split-new-connections",
            "canary/windows",
        ],
        &["canary/less-loaded"],
    ),
    catch(Flaw::PickIgnored, &["distribution/two-busy"], &[]),
    catch(
        Flaw::ObjectiveLost,
        &["priority/held-order", "priority/shed"],
        &[],
    ),
    catch(Flaw::OneIn500Lost, &["canary/windows"], &[]),
    catch(Flaw::StreamBuffered, &["routing/stream-unbuffered"], &[]),
    catch(Flaw::StreamCut, &["routing/stream-intact"], &[]),
    catch(Flaw::StreamRepeated, &["routing/stream-intact"], &[]),
    catch(Flaw::StreamReordered, &["routing/stream-intact"], &[]),
    catch(
        Flaw::StreamEndLost,
        &["routing/known-model", "routing/stream-intact"],
        &[],
    ),
    catch(Flaw::RoundRobin, LOAD_BLIND, BLIND_BUT_BY_CHANCE),
    catch(Flaw::Random, LOAD_BLIND, BLIND_BUT_BY_CHANCE),
    catch(
        Flaw::StaleMetrics,
        &["distribution/one-busy", "distribution/follows-load"],
        &[],
    ),
    catch(Flaw::KvIgnored, &["distribution/kv-pressure"], &[]),
    catch(Flaw::StarvedEndpoint, &["distribution/idle"], &[]),
    catch(Flaw::MetricsMagnet, &["distribution/metrics-gone"], &[]),
    catch(
        Flaw::PartlyRandom,
        &["distribution/one-busy", "distribution/two-busy"],
        &[],
    ),
    catch(Flaw::LateMetrics, &["distribution/one-busy"], &[]),
    catch(
        Flaw::BlindSpot,
        &["distribution/two-busy", "distribution/each-in-turn"],
        &[],
    ),
    catch(Flaw::PriorityIgnored, &["priority/held-order"], &[]),
    catch(
        Flaw::PriorityInverted,
        &["priority/held-order", "priority/shed"],
        &[],
    ),
    catch(Flaw::PriorityAtTimes, &["priority/held-order"], &[]),
    catch(
        Flaw::InteractiveRefusedAtTimes,
        &[
            "priority/interactive-admitted",
            "priority/held-order",
            "priority/shed",
        ],
        &[],
    ),
    catch(
        Flaw::InteractiveShed,
        &["priority/interactive-admitted", "priority/shed"],
        &[],
    ),
    catch(Flaw::NeverShed, &["priority/shed"], &[]),
    catch(Flaw::ShedEarly, &["priority/shed"], &[]),
    catch(Flaw::BatchDelayed, &["priority/uncontended"], &[]),
    catch(Flaw::BatchLost, &["priority/batch-served-after"], &[]),
];
