#![allow(clippy::unwrap_used)]

use super::*;
use poolproof_property::config;
use proptest::collection::vec;
use proptest::prelude::*;

/// One request: when it starts, how long until its first and last token and its end, its tokens, and whether it fails.
#[derive(Clone, Copy, Debug)]
struct Sent {
    at_ms: u64,
    first_ms: u64,
    last_ms: u64,
    end_ms: u64,
    tokens: u64,
    streamed: bool,
    fails: Option<Failure>,
}

fn sent() -> impl Strategy<Value = Sent> {
    let times = (0_u64..20_000, 0_u64..5000, 0_u64..5000, 0_u64..300);
    let fails = prop_oneof![
        3 => Just(None),
        1 => Just(Some(Failure::Cut)),
        1 => Just(Some(Failure::Status(503))),
    ];
    (times, 0_u64..500, any::<bool>(), fails).prop_map(
        |((at_ms, first_ms, more_ms, rest_ms), tokens, streamed, fails)| Sent {
            at_ms,
            first_ms,
            last_ms: first_ms + more_ms,
            end_ms: first_ms + more_ms + rest_ms,
            tokens,
            streamed,
            fails,
        },
    )
}

/// What a worker measures that sends these.
fn measured(sent: &[Sent], start: Instant, until_ms: u64) -> Windows {
    let mut windows = Windows::new(window_s(30.0));
    windows.begin(start);
    let at = |ms| start + Duration::from_millis(ms);
    let mut events: Vec<(u64, bool, Sent)> = Vec::new();
    for one in sent {
        events.push((one.at_ms, true, *one));
        events.push((one.at_ms + one.end_ms, false, *one));
    }
    events.sort_by_key(|(ms, starts, _)| (*ms, !starts));
    for (ms, starts, one) in events {
        if starts {
            windows.started(at(ms));
        } else if let Some(kind) = one.fails {
            windows.failed(at(ms), kind);
        } else {
            let (first, last) = (at(one.at_ms + one.first_ms), at(one.at_ms + one.last_ms));
            let e2e = Duration::from_millis(one.last_ms);
            let ttft = Duration::from_millis(one.first_ms);
            let times = [
                Some((Series::E2e, e2e)),
                one.streamed.then_some((Series::Ttft, ttft)),
                Some((Series::ItlToken, ttft)),
            ];
            let good = Good {
                output_tokens: one.tokens,
                tokens: one.streamed.then_some((first, last)),
                is_textless: false,
                times: &times,
            };
            windows.answered(at(ms), good);
        }
    }
    windows.end(at(until_ms));
    windows
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn windows_have_no_gaps_and_sum_up_to_the_requests(all in vec(sent(), 0..80)) {
        let ends = all.iter().map(|one| one.at_ms + one.end_ms);
        let until_ms = ends.max().unwrap_or(0);
        let windows = measured(&all, Instant::now(), until_ms).windows();
        let sum = |of: fn(&Window) -> u64| windows.iter().map(of).sum::<u64>();
        let good = || all.iter().filter(|one| one.fails.is_none());
        let failed = |kind: Failure| all.iter().filter(|one| one.fails == Some(kind)).count() as u64;
        prop_assert_eq!(sum(|it| it.started), all.len() as u64);
        prop_assert_eq!(sum(|it| it.answered), good().count() as u64);
        prop_assert_eq!(sum(|it| it.output_tokens), good().map(|one| one.tokens).sum::<u64>());
        for kind in [Failure::Cut, Failure::Status(503)] {
            let name = kind.to_string();
            let of = windows.iter().map(|it| it.failed.get(&name).copied().unwrap_or(0));
            prop_assert_eq!(of.sum::<u64>(), failed(kind));
        }
        let n = |name: &str| -> u64 {
            windows.iter().filter_map(|it| it.times.get(name)).map(|it| it.n).sum()
        };
        prop_assert_eq!(n("e2e"), good().count() as u64);
        prop_assert_eq!(n("ttft"), good().filter(|one| one.streamed).count() as u64);
        prop_assert_eq!(n("itl_token"), 0);
        // The area below the requests in flight is the time that they took.
        let area: f64 = windows.iter().map(|it| it.in_flight * it.length_s).sum();
        let took: u64 = all.iter().map(|one| one.end_ms).sum();
        prop_assert!((area - took as f64 / 1000.0).abs() < 1e-6 * (1.0 + area), "{} {}", area, took);
        let mut at_s = 0.0;
        for window in &windows {
            prop_assert!((window.at_s - at_s).abs() < 1e-9);
            at_s += window.length_s;
        }
        prop_assert!((at_s - until_ms as f64 / 1000.0).abs() < 1e-6);
    }

    #[test]
    fn what_several_workers_measured_is_what_one_would_have(
        all in vec(sent(), 1..60),
        workers in 1_usize..5,
    ) {
        let start = Instant::now();
        let ends = all.iter().map(|one| one.at_ms + one.end_ms);
        let until_ms = ends.max().unwrap_or(0);
        let one = measured(&all, start, until_ms);
        let mut many = Windows::default();
        for index in 0..workers {
            let own: Vec<Sent> = all.iter().skip(index).step_by(workers).copied().collect();
            let handed_over = serde_json::to_string(&measured(&own, start, until_ms)).unwrap();
            many.merge(serde_json::from_str(&handed_over).unwrap());
        }
        prop_assert_eq!(many.windows(), one.windows());
    }
}

#[test]
fn a_run_that_is_interrupted_counts_what_is_in_flight_and_nothing_of_its_end() {
    let start = Instant::now();
    let mut windows = Windows::new(1.0);
    windows.begin(start);
    windows.started(start);
    windows.started(start + Duration::from_millis(500));
    windows.end(start + Duration::from_millis(2000));
    let found = windows.windows();
    let in_flight: Vec<f64> = found.iter().map(|it| it.in_flight).collect();
    assert_eq!(in_flight, [1.5, 2.0]);
    assert_eq!((found[0].started, found[1].answered), (2, 0));
    assert!(found.iter().all(|it| it.times.is_empty()));
}

#[test]
fn tokens_are_spread_between_the_first_and_the_last_one() {
    let start = Instant::now();
    let at = |ms| start + Duration::from_millis(ms);
    let mut windows = Windows::new(1.0);
    windows.begin(start);
    windows.started(start);
    let good = Good {
        output_tokens: 30,
        tokens: Some((at(500), at(3500))),
        is_textless: false,
        times: &[],
    };
    windows.answered(at(3500), good);
    windows.end(at(4000));
    let tokens = windows.windows().into_iter().map(|it| it.output_tokens);
    assert_eq!(tokens.collect::<Vec<_>>(), [5, 10, 10, 5]);
}

#[test]
fn a_failure_is_later_than_any_time_of_its_window() {
    let start = Instant::now();
    let mut windows = Windows::new(1.0);
    windows.begin(start);
    for failed in [false, true, true] {
        windows.started(start);
        let good = Good {
            output_tokens: 1,
            tokens: None,
            is_textless: false,
            times: &[Some((Series::E2e, Duration::from_millis(50)))],
        };
        match failed {
            true => windows.failed(start, Failure::TimedOut),
            false => windows.answered(start, good),
        }
    }
    windows.end(start + Duration::from_secs(1));
    let found = windows.windows();
    let times = found[0].times["e2e"];
    assert_eq!((times.n, times.p50_ms), (1, None));
    // No answer of the run was streamed.
    assert_eq!(found[0].times.len(), 1);
}

#[test]
fn a_stream_without_a_token_never_has_a_first_one() {
    let start = Instant::now();
    let mut windows = Windows::new(1.0);
    windows.begin(start);
    for is_textless in [false, true, true] {
        windows.started(start);
        let ttft = (Series::Ttft, Duration::from_millis(50));
        let e2e = (Series::E2e, Duration::from_millis(90));
        let good = Good {
            output_tokens: 1,
            tokens: (!is_textless).then_some((start, start)),
            is_textless,
            times: &[(!is_textless).then_some(ttft), Some(e2e)],
        };
        windows.answered(start, good);
    }
    windows.end(start + Duration::from_secs(1));
    let times = &windows.windows()[0].times;
    assert_eq!((times["ttft"].n, times["ttft"].p50_ms), (1, None));
    assert!(times["e2e"].p99_ms.is_some());
}

#[test]
fn answers_that_never_come_do_not_fill_the_memory() {
    let start = Instant::now();
    let mut windows = Windows::new(1.0);
    windows.begin(start);
    windows.started(start);
    windows.started(start);
    windows.failed(start + Duration::from_secs(1_000_000), Failure::TimedOut);
    windows.end(start + Duration::from_secs(2_000_000));
    let found = windows.windows();
    assert_eq!(found.len(), WINDOWS_MAX);
    let area: f64 = found.iter().map(|it| it.in_flight * it.length_s).sum();
    assert!((area - 3_000_000.0).abs() < 1.0, "{area}");
}

#[test]
fn a_run_has_sixty_windows_of_at_least_a_second() {
    assert_eq!([0.5, 10.0, 60.0].map(window_s), [1.0; 3]);
    assert_eq!(window_s(600.0), 10.0);
    assert_eq!(window_s(86_400.0), 1440.0);
    assert_eq!(window_s(100.0), 1.667);
}
