//! Records for tests.

#![allow(clippy::unwrap_used)]

use jiff::Timestamp;

use super::environment::Environment;
use super::expect::Known;
use super::load::over_time::{
    OverTime, Server, ServerMetric, ServerSeries, Unread, Window, WindowTimes,
};
use super::load::percentile::Percentile;
use super::load::picker::{self, PickerLoad, Picks, Row};
use super::load::search::{self, Probe, RateSearch, Search};
use super::load::sweep::{self, RateSweep};
use super::load::{Group, Times};
use super::run::{self, CaseRecord, Record, without_credentials};
use poolproof_model::settings::Settings;
use poolproof_model::target::Target;
use poolproof_model::verdict::{Level, Outcome, Verdict};
use poolproof_model::workload::Workload;

/// A record with cases of these levels and verdicts.
pub fn record(cases: &[(Level, Outcome)]) -> Record {
    let target: Target = toml::from_str(
        "name='t'\nurl='http://me:secret@127.0.0.1:1'\n[[models]]\nname='m'\n[[models.pools]]\nname='p'\nweight=1\n\
         [changes]\nurl='http://me:secret@127.0.0.1:2'\nkinds=['picker']\n\
         [[metrics]]\nurl='http://me:secret@127.0.0.1:3'",
    )
    .unwrap();
    Record {
        schema: run::SCHEMA.into(),
        tool_version: "0".into(),
        started: Timestamp::UNIX_EPOCH,
        saved: Timestamp::UNIX_EPOCH,
        digest: None,
        interrupted: false,
        seed: 1,
        split_tolerance: 0.03,
        run_alpha: Settings::default().run_alpha,
        power: Settings::default().power,
        stack: "url".into(),
        flaw: None,
        components: vec![],
        start_steps: vec![],
        client_cores: 2,
        environment: None,
        round_trips: Vec::new(),
        target: without_credentials(&target),
        cases: cases
            .iter()
            .enumerate()
            .map(|(number, (level, outcome))| CaseRecord {
                id: format!("suite/case-{number}"),
                requirement: "it works".into(),
                level: *level,
                source: "a document".into(),
                took_ms: 1500,
                known: None,
                outcome: outcome.clone(),
            })
            .collect(),
    }
}

/// The outcome of a case that failed.
pub fn fail() -> Outcome {
    Outcome {
        verdict: Verdict::Fail,
        ..Outcome::pass("it does not work")
    }
}

/// An expected failure.
pub fn known() -> Known {
    Known {
        reason: "a cause".into(),
        link: "https://example.invalid/1".into(),
        file: "known.toml".into(),
        line: 2,
    }
}

/// A record with a pass, an unexpected failure, a known failure and an unexpected pass, and with cases that are listed as expected
/// failures and were not decided.
pub fn with_expectations() -> Record {
    let mut record = record(&[
        (Level::Must, Outcome::pass("it works")),
        (Level::Must, fail()),
        (Level::Must, fail()),
        (Level::Must, Outcome::pass("it works")),
        (Level::Should, fail()),
        (Level::Must, Outcome::skip("no urls")),
        (Level::Must, Outcome::invalid("the client was late")),
    ]);
    for case in &mut record.cases[2..] {
        case.known = Some(known());
    }
    record
}

/// Two windows, in the second of which requests fail, with the metrics of an endpoint and of a GPU.
pub fn over_time() -> OverTime {
    let times = |ms: f64, last: Option<f64>| WindowTimes {
        n: 40,
        p50_ms: Some(ms),
        p90_ms: Some(2.0 * ms),
        p95_ms: Some(2.5 * ms),
        p99_ms: last,
    };
    let window = |at_s: f64, failed: u64, in_flight: f64, ttft: WindowTimes| Window {
        at_s,
        length_s: 1.0,
        started: 40 + failed,
        answered: 40,
        failed: [("status-503".to_owned(), failed)]
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .collect(),
        output_tokens: 4000,
        in_flight,
        times: [("ttft".to_owned(), ttft)].into(),
    };
    let series = |server, device: Option<&str>, metric: ServerMetric, points| ServerSeries {
        server,
        device: device.map(str::to_owned),
        metric,
        unit: metric.unit(),
        points,
    };
    let endpoint = || Server::Endpoint {
        pool: "p".to_owned(),
        endpoint: "a".to_owned(),
    };
    let gpus = || Server::Other {
        name: "gpus".to_owned(),
    };
    OverTime {
        window_s: 1.0,
        windows: vec![
            window(0.0, 0, 2.5, times(20.0, Some(80.0))),
            window(1.0, 20, 12.0, times(50.0, None)),
        ],
        series: vec![
            series(
                endpoint(),
                None,
                ServerMetric::Queue,
                vec![(0.5, 0.0), (1.5, 3.0)],
            ),
            series(
                endpoint(),
                None,
                ServerMetric::KvUse,
                vec![(0.5, 0.25), (1.5, 0.75)],
            ),
            series(
                gpus(),
                Some("gpu 0"),
                ServerMetric::GpuPower,
                vec![(0.5, 310.5)],
            ),
        ],
        unread: vec![Unread {
            server: gpus(),
            failed: 1,
            of: 2,
            reason: "no answer within 5s".to_owned(),
        }],
    }
}

/// A search that found its limit between 20 and 24 requests per second.
pub fn rate_search() -> RateSearch {
    let probe = |rate_per_s, verdict, ttft_p95_ms: Option<Option<f64>>| Probe {
        rate_per_s,
        verdict,
        broke: match verdict {
            Verdict::Pass => vec![],
            _ => vec!["ttft p95 <= 100 ms".to_owned()],
        },
        doubts: vec![],
        requests: if ttft_p95_ms.is_some() { 400 } else { 100 },
        ttft_p95_ms,
        output_tokens_per_s: 5.0,
    };
    let mut search = Search::new(10.0, 1.05);
    search.probes = vec![
        probe(10.0, Verdict::Pass, Some(Some(20.0))),
        probe(20.0, Verdict::Pass, Some(Some(30.0))),
        probe(40.0, Verdict::Fail, Some(None)),
        probe(28.0, Verdict::Fail, Some(Some(900.0))),
        probe(24.0, Verdict::Inconclusive, None),
    ];
    RateSearch {
        schema: search::SCHEMA.to_owned(),
        tool_version: "0".to_owned(),
        started: Timestamp::UNIX_EPOCH,
        interrupted: false,
        name: "steady-chat".to_owned(),
        workload: Workload::load("steady-chat").unwrap().0,
        seed: 1,
        stack: "embedded".to_owned(),
        flaw: None,
        components: vec![],
        environment: Environment::here(),
        search,
    }
}

/// A step of a sweep at this rate, whose E2E percentiles are all the same; `None` if they are failures.
pub fn sweep_step(
    kind: sweep::Kind,
    rate_per_s: f64,
    answered_per_s: f64,
    e2e_ms: Option<f64>,
) -> sweep::Step {
    let failed = if e2e_ms.is_some() { 0 } else { 400 };
    let times = |ms: Option<f64>| Times {
        n: 1000 - failed,
        mean_ms: ms.unwrap_or(50.0),
        min_ms: ms.unwrap_or(50.0),
        max_ms: ms.unwrap_or(50.0),
        percentiles: [50.0, 95.0, 99.0]
            .map(|percentile| {
                let ms = ms.or((percentile == 50.0).then_some(50.0));
                Percentile {
                    percentile,
                    ms,
                    interval_ms: (ms.map(|ms| 0.98 * ms), ms.map(|ms| 1.02 * ms)),
                }
            })
            .into(),
        histogram_us: Vec::new(),
    };
    let is_open = matches!(kind, sweep::Kind::Rate | sweep::Kind::Refined);
    sweep::Step {
        kind,
        offered_per_s: is_open.then_some(rate_per_s),
        users: (!is_open).then_some(rate_per_s as usize),
        window_s: 10.0,
        answered_per_s,
        output_tokens_per_s: 100.0 * answered_per_s,
        in_flight: answered_per_s * e2e_ms.unwrap_or(50.0) / 1000.0,
        in_flight_max: 12,
        requests: Group {
            name: "all".to_owned(),
            requests: 1000,
            answered: 1000 - failed,
            failed: [("http-429".to_owned(), failed)]
                .into_iter()
                .filter(|(_, count)| *count > 0)
                .collect(),
            goodput: 1.0,
            answered_per_s,
            input_tokens: 1000,
            output_tokens: 100_000,
            output_tokens_per_s: 100.0 * answered_per_s,
            chunks_together: 0.0,
            without_usage: 0,
            asked_tokens: 100_000,
            textless: 0,
            remarks: std::collections::BTreeMap::new(),
            times: [
                ("ttft".to_owned(), times(e2e_ms.map(|ms| ms / 4.0))),
                ("tpot".to_owned(), times(e2e_ms.map(|ms| ms / 100.0))),
                ("e2e".to_owned(), times(e2e_ms)),
            ]
            .into(),
        },
        doubts: vec![],
    }
}

/// A sweep of a server that answers at most 92 requests per second and refuses more; its knee is at 80.
pub fn rate_sweep() -> RateSweep {
    use sweep::Kind;
    let steps = vec![
        sweep_step(Kind::Idle, 1.0, 10.0, Some(100.0)),
        sweep_step(Kind::Capacity, 16.0, 91.0, Some(175.0)),
        sweep_step(Kind::Rate, 10.0, 10.0, Some(100.0)),
        sweep_step(Kind::Rate, 25.0, 25.0, Some(104.0)),
        sweep_step(Kind::Rate, 50.0, 50.0, Some(110.0)),
        sweep_step(Kind::Rate, 80.0, 80.0, Some(130.0)),
        sweep_step(Kind::Rate, 100.0, 90.0, Some(900.0)),
        sweep_step(Kind::Rate, 115.0, 92.0, Some(4000.0)),
        sweep_step(Kind::Rate, 130.0, 92.0, None),
    ];
    RateSweep {
        schema: sweep::SCHEMA.to_owned(),
        tool_version: "0".to_owned(),
        started: Timestamp::UNIX_EPOCH,
        interrupted: false,
        name: "steady-chat".to_owned(),
        workload: Workload::load("steady-chat").unwrap().0,
        seed: 1,
        stack: "embedded".to_owned(),
        flaw: None,
        components: vec![],
        environment: Environment::here(),
        knee: sweep::Knee::of(&steps),
        timeout_s: 5.0,
        method: sweep::METHOD.to_owned(),
        steps,
        ended_early: None,
    }
}

/// A measurement of a picker whose latencies are all about the same.
fn picker_row(endpoints: usize, input_tokens: usize, ms: f64) -> Row {
    let picks_per_s = 32_000.0 / ms;
    let percentiles = [50.0, 95.0, 99.0].map(|percentile| Percentile {
        percentile,
        ms: Some(ms),
        interval_ms: (Some(0.98 * ms), Some(1.02 * ms)),
    });
    let around = |value: f64| Some((0.98 * value, 1.02 * value));
    let cpu_us = 100.0 * ms;
    Row {
        endpoints: Some(endpoints),
        input_tokens,
        picks: Picks {
            picks: (5.0 * picks_per_s) as u64,
            picks_per_s,
            picks_per_s_interval: around(picks_per_s),
            failed: std::collections::BTreeMap::new(),
            latency: Some(Times {
                n: (5.0 * picks_per_s) as u64,
                mean_ms: ms,
                min_ms: ms,
                max_ms: ms,
                percentiles: percentiles.into(),
                histogram_us: vec![((1000.0 * ms) as u64, (5.0 * picks_per_s) as u64)],
            }),
            endpoints_named: endpoints,
            picker_cpu_us_per_pick: Some(cpu_us),
            picker_cpu_us_interval: around(cpu_us),
            picker_cores: Some(1.2),
            own_cpu_us_per_pick: 80.0,
            own_cores: 0.5,
        },
    }
}

/// Load on a picker with 1, 10 and 100 endpoints.
pub fn picker_load() -> PickerLoad {
    PickerLoad {
        schema: picker::SCHEMA.to_owned(),
        tool_version: "0".to_owned(),
        started: Timestamp::UNIX_EPOCH,
        digest: None,
        interrupted: false,
        stack: "local".to_owned(),
        flaw: None,
        picker: "a picker 1.0".to_owned(),
        environment: Environment::here(),
        model: "model-a".to_owned(),
        load: picker::Load::Streams(32),
        warm_up_s: 1.0,
        window_s: 5.0,
        rows: [(1, 8.0), (10, 10.0), (100, 25.0)]
            .into_iter()
            .flat_map(|(endpoints, ms)| {
                [
                    picker_row(endpoints, 200, ms),
                    picker_row(endpoints, 32_000, 4.0 * ms),
                ]
            })
            .collect(),
    }
}
