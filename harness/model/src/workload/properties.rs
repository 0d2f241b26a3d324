//! Workloads of any values, and files of any text.

use std::time::Duration;

use super::slo::{Metric, Slo};
use super::*;
use crate::api::Api;
use crate::topology::Topology;
use poolproof_property::config;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

fn positive() -> impl Strategy<Value = f64> {
    prop_oneof![0.001..1000.0, Just(10.0), 1e-9..1e9]
}

fn count() -> impl Strategy<Value = Count> {
    prop_oneof![
        any::<u32>().prop_map(Count::Fixed),
        any::<(u32, u32)>().prop_map(|(from, to)| Count::Uniform { from, to }),
        (positive(), positive()).prop_map(|(mean, deviation)| Count::Normal { mean, deviation }),
        (positive(), positive()).prop_map(|(median, p95)| Count::LogNormal { median, p95 }),
    ]
}

fn arrival() -> impl Strategy<Value = Arrival> {
    let stage = (positive(), positive()).prop_map(|(rate_per_s, duration_s)| Stage {
        rate_per_s,
        duration_s,
    });
    prop_oneof![
        positive().prop_map(|rate_per_s| Arrival::Poisson { rate_per_s }),
        (positive(), positive()).prop_map(|(rate_per_s, burstiness)| Arrival::Gamma {
            rate_per_s,
            burstiness
        }),
        vec(stage, 0..4).prop_map(|stages| Arrival::Stages { stages }),
        "[a-z/.]{1,8}".prop_map(|file| Arrival::Trace { file: file.into() }),
        (0_usize..99, 0_u64..99).prop_map(|(users, think_ms)| Arrival::Closed { users, think_ms }),
        (0_usize..99, count(), positive()).prop_map(|(users, turns, think_s)| {
            Arrival::Sessions {
                users,
                turns,
                think_time_s: Seconds::Fixed(think_s),
            }
        }),
    ]
}

fn class() -> impl Strategy<Value = Class> {
    let texts = || btree_map("[a-z]{1,6}|\\PC{0,6}", "\\PC{0,8}", 0..3);
    let prefix = option::of(any::<(u32, u32)>());
    let names = (
        "\\PC{0,8}",
        option::of("\\PC{0,8}"),
        vec("[a-z]{0,8}", 0..3),
    );
    let flags = (positive(), any::<bool>(), any::<bool>());
    (names, flags, count(), count(), prefix, texts(), texts()).prop_map(
        |(
            (class, model, adapters),
            (share, stream, chat),
            input_tokens,
            output_tokens,
            prefix,
            headers,
            body,
        )| Class {
            class,
            share,
            objective: model.clone(),
            model,
            adapters,
            api: if chat { Api::Chat } else { Api::Completions },
            stream,
            input_tokens,
            output_tokens,
            inputs: None,
            query_tokens: None,
            images: None,
            tools: None,
            shared_prefix: prefix.map(|(groups, tokens)| SharedPrefix { groups, tokens }),
            headers,
            body: body
                .into_iter()
                .map(|(key, text)| (key, text.into()))
                .collect(),
        },
    )
}

fn workload() -> impl Strategy<Value = Workload> {
    let times = (option::of(positive()), positive(), positive());
    let slo = (positive(), positive(), option::of("[a-z]{1,8}")).prop_map(
        |(percentile, at_most_ms, class)| Slo {
            class,
            metric: Metric::Time(Series::TtftFromSend),
            percentile: Some(percentile),
            at_most_ms: Some(at_most_ms),
            at_most: None,
            at_least: None,
        },
    );
    let topology = option::of(Just(Topology::default()));
    let flags = any::<(bool, bool)>();
    let parts = (arrival(), vec(class(), 0..3), vec(slo, 0..3), topology);
    ("\\PC{0,20}", times, flags, parts).prop_map(
        |(shows, (duration_s, warm_up_s, timeout_s), (two, new_connections), parts)| {
            let (arrival, mix, slos, topology) = parts;
            Workload {
                shows,
                duration_s,
                warm_up_s,
                timeout_s,
                http: if two { Http::Two } else { Http::One },
                new_connections,
                strict: new_connections,
                parameters: Default::default(),
                topology,
                dataset: None,
                arrival,
                mix,
                slos,
            }
        },
    )
}

/// A number as it may stand in a file, among them those that no duration can hold.
fn number() -> impl Strategy<Value = &'static str> {
    let extremes = vec![
        "0",
        "-1",
        "1e-300",
        "1e-12",
        "99.99999999999999",
        "604800",
        "1e9",
        "1e20",
        "1e300",
        "inf",
        "nan",
        "9223372036854775807",
    ];
    prop_oneof![select(extremes), select(vec!["0.5", "1", "10", "60"])]
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_text_does_no_harm(text in "([a-z\\[\\]=\"'{}., \n0-9]|\\PC){0,80}") {
        let _ = toml::from_str::<Workload>(&text).map(|workload| workload.check());
    }

    #[test]
    fn a_written_workload_is_read_back(workload in workload()) {
        let text = toml::to_string(&workload).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let read: Workload = toml::from_str(&text).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(&read, &workload);
        // Either answer will do, as long as there is one.
        let _ = workload.check();
    }

    #[test]
    fn what_passes_the_check_can_be_planned(
        arrival in select(vec![
            "arrival = { process = 'ramp', from_per_s = RATE, to_per_s = RATE }\nduration_s = LASTS",
            "arrival = { process = 'stages', stages = [{ rate_per_s = RATE, duration_s = LASTS }] }",
            "arrival = { process = 'sessions', users = 1, turns = TOKENS, think_time_s = LASTS }\nduration_s = 10",
        ]),
        slo in select(vec!["metric = 'ttft'\npercentile = AT\nat_most_ms = LASTS", "metric = 'failed'\nat_most = AT"]),
        (rate, lasts, at, tokens, timeout) in (number(), number(), number(), number(), number()),
    ) {
        let text = format!("shows = ''\ntimeout_s = {timeout}\n{arrival}\n[[mix]]\nclass = 'c'\ninput_tokens = 1\n\
                            output_tokens = 1\n[[slo]]\n{slo}\n");
        let text = text.replace("RATE", rate).replace("LASTS", lasts).replace("AT", at).replace("TOKENS", tokens);
        let Ok(workload) = toml::from_str::<Workload>(&text) else {
            return Ok(());
        };
        if workload.check().is_ok() {
            let end = Duration::try_from_secs_f64(workload.end_s(None));
            prop_assert!(end.is_ok_and(|end| end.as_secs_f64() <= DURATION_MAX_S), "{}", workload.end_s(None));
            prop_assert!(workload.requests_min() >= 1.0);
            prop_assert!(workload.slos.iter().all(|slo| slo.observations_min() > 0));
            prop_assert!(workload.limits("c").len() <= 1);
        }
    }
}
