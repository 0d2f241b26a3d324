//! A load run as metrics: its record, or its progress.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};

use super::family::{Family, Histogram, Labels};
use super::{about, one_if, over_time, shown, states, written};
use poolproof_model::verdict::Verdict;
use poolproof_model::workload::Series;
use poolproof_records::load::Snapshot;
use poolproof_records::load::{Conclusion, Group, Record, Times};

/// Upper bounds of the buckets of all times, in seconds: three per power of ten.
const BOUNDS_S: [f64; 17] = [
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0,
    200.0,
];
/// The number of failure kinds exported per class, most frequent first. Bounds the labels, since a server may respond with any status.
const KINDS_MAX: usize = 24;
/// The last line of the text.
const END: &str = "# EOF\n";
const CONCLUSIONS: [(Conclusion, &str); 4] = [
    (Conclusion::Met, "met"),
    (Conclusion::Missed, "missed"),
    (Conclusion::Undecided, "undecided"),
    (Conclusion::Interrupted, "interrupted"),
];

/// Renders requests, failures, tokens and times of each class, requests of each endpoint, the objectives, and the run over time.
pub fn render(record: &Record) -> Result<String> {
    let mut labels = about(&record.tool_version, &record.stack, record.flaw.as_deref());
    labels.push(("workload", shown(&record.name)));
    let counters = |named, help, of: fn(&Group) -> u64| {
        let of = record.classes.iter().map(|it| (class(it), of(it)));
        Family::counters(named, help, of)
    };
    let mut families = vec![
        Family::info("poolproof_load", "Facts about the load run.", labels),
        Family::gauges(
            ("poolproof_load_start_time", "seconds"),
            "Start of the run, in Unix time.",
            [(Labels::new(), record.started.as_second() as f64)],
        ),
        Family::gauges(
            ("poolproof_load_window", "seconds"),
            "Time during which requests were counted, without the warm-up.",
            [(Labels::new(), record.window_s)],
        ),
        counters(
            ("poolproof_load", "requests"),
            "Requests that were due.",
            |it| it.requests,
        ),
        Family::counters(
            ("poolproof_load", "failures"),
            "Requests that failed, by kind.",
            record.classes.iter().flat_map(failures),
        ),
        Family::counters(
            ("poolproof_load", "remarks"),
            "Answers with a remark, by kind: deviations from the API that the common SDKs accept, and what a reader should know.",
            record.classes.iter().flat_map(remarks),
        ),
        counters(("poolproof_load_input", "tokens"), "Prompt tokens.", |it| {
            it.input_tokens
        }),
        counters(
            ("poolproof_load_output", "tokens"),
            "Answer tokens.",
            |it| it.output_tokens,
        ),
        Family::gauges(
            ("poolproof_load_goodput", "ratio"),
            "Share of requests that met every time limit of the workload.",
            record.classes.iter().map(|it| (class(it), it.goodput)),
        ),
    ];
    families.extend(Series::ALL.map(|series| times(record, series)));
    families.push(Family::counters(
        ("poolproof_load_endpoint", "requests"),
        "Requests that an endpoint answered.",
        endpoints(record),
    ));
    families.push(Family::gauges(
        ("poolproof_load_objective_met", ""),
        "1 if an objective was met, 0 if it was missed, NaN if it was not decided.",
        record.slos.iter().map(|slo| {
            let met = match slo.verdict {
                Verdict::Pass | Verdict::Fail => one_if(slo.verdict == Verdict::Pass),
                _ => f64::NAN,
            };
            (vec![("objective", shown(&slo.slo))], met)
        }),
    ));
    families.push(Family::gauges(
        ("poolproof_load_conclusion", ""),
        "Conclusion of the run: 1 for the one that holds.",
        states("conclusion", &CONCLUSIONS, &record.conclusion()),
    ));
    let text = written(families)?;
    let (families, end) = text.split_at(text.len() - END.len());
    ensure!(end == END, "openmetrics without an end");
    Ok(format!("{families}{}{END}", over_time::families(record)))
}

/// Renders a run in progress, including the warm-up.
pub fn render_live(workload: &str, now: &Snapshot) -> Result<String> {
    let labels = || vec![("workload", shown(workload))];
    let counter = |name: &str, help: &str, count: u64| {
        Family::counters((name, "requests"), help, [(labels(), count)])
    };
    let (answers, sum_us) = now.ttft;
    let ttft = Histogram {
        sum: sum_us as f64 / 1e6,
        buckets: vec![(f64::INFINITY, answers)],
    };
    written(vec![
        counter("poolproof_load_started", "Requests started.", now.started),
        counter(
            "poolproof_load_answered",
            "Requests answered completely.",
            now.answered,
        ),
        Family::counters(
            ("poolproof_load_failed", "requests"),
            "Requests that failed, by kind.",
            by_kind(vec![("workload", shown(workload))], &now.failures),
        ),
        Family::counters(
            ("poolproof_load_output", "tokens"),
            "Answer tokens of complete answers.",
            [(labels(), now.output_tokens)],
        ),
        Family::gauges(
            ("poolproof_load_in_flight", "requests"),
            "Requests in flight.",
            [(labels(), now.in_flight() as f64)],
        ),
        Family::histograms(
            "poolproof_load_ttft",
            Series::Ttft.formula(),
            [(labels(), ttft)],
        ),
    ])
}

fn class(group: &Group) -> Labels {
    vec![("class", shown(&group.name))]
}

fn failures(group: &Group) -> Vec<(Labels, u64)> {
    by_kind(class(group), &group.failed)
}

/// Counts by kind with these labels: the most frequent ones, and all others together.
fn by_kind(labels: Labels, counts: &BTreeMap<String, u64>) -> Vec<(Labels, u64)> {
    let of = |kind: &str, count| {
        let mut labels = labels.clone();
        labels.push(("kind", shown(kind)));
        (labels, count)
    };
    let mut kinds: Vec<(&String, u64)> = counts.iter().map(|(k, n)| (k, *n)).collect();
    kinds.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let rest = kinds.split_off(kinds.len().min(KINDS_MAX));
    let rest = rest.iter().map(|(_, count)| count).sum();
    let mut samples: Vec<(Labels, u64)> = kinds.iter().map(|(k, n)| of(k, *n)).collect();
    samples.push(of("other", rest));
    samples
}

fn remarks(group: &Group) -> Vec<(Labels, u64)> {
    let of = |(kind, count): (&String, &u64)| {
        let mut labels = class(group);
        labels.push(("kind", shown(kind)));
        (labels, *count)
    };
    group.remarks.iter().map(of).collect()
}

fn times(record: &Record, series: Series) -> Family {
    let of = record.classes.iter().filter_map(|group| {
        let times = group.times.get(series.name())?;
        Some((class(group), histogram(times)?))
    });
    let name = format!("poolproof_load_{}", series.name());
    Family::histograms(&name, series.formula(), of)
}

/// `None` if the record lacks the individual values.
fn histogram(times: &Times) -> Option<Histogram> {
    let bounds = BOUNDS_S.into_iter().chain([f64::INFINITY]);
    let mut buckets: Vec<(f64, u64)> = bounds.map(|bound| (bound, 0)).collect();
    for (us, count) in &times.histogram_us {
        let place = buckets.partition_point(|(bound, _)| *bound < *us as f64 / 1e6);
        // The last bound is infinite.
        buckets[place].1 += count;
    }
    (!times.histogram_us.is_empty()).then(|| Histogram {
        sum: times.mean_ms * times.n as f64 / 1000.0,
        buckets,
    })
}

fn endpoints(record: &Record) -> impl Iterator<Item = (Labels, u64)> {
    record.pools.iter().flat_map(|pool| {
        pool.endpoints.iter().map(|endpoint| {
            let labels = vec![
                ("pool", shown(&pool.pool)),
                ("endpoint", shown(&endpoint.name)),
            ];
            (labels, endpoint.requests)
        })
    })
}
