//! The record of a load run, for the terminal.

use std::fmt::Write as _;

use tabled::builder::Builder;
use tabled::settings::Style;

use super::super::markdown::fenced;
use super::super::{clipped, conclusion_of_load};
use super::over_time;
use poolproof_model::remark::Remark;
use poolproof_model::verdict::Verdict;
use poolproof_model::workload::Series;
use poolproof_records::load::{Group, LATE_MS, Record, Times, Worker};

/// Share of frames that arrive together with the previous one above which the report has a note. A busy machine causes lower shares.
const TOGETHER_TOLD: f64 = 0.25;

/// Renders tables of requests and endpoints, the objectives, and the conclusion.
pub fn render(record: &Record) -> String {
    let mut text = format!("{}\n\n", clipped(record.workload.shows.trim()));
    text += &requests(record);
    text += &adapters(record);
    text += &endpoints(record);
    if let Some(over_time) = &record.over_time {
        text += &over_time::render(over_time);
    }
    // Writing to a string cannot fail, here and below.
    for slo in &record.slos {
        let (low, high) = slo.share_interval;
        let what = slo.share_of();
        let _ = writeln!(
            text,
            "{:12} {}: {}{:.2} % {what} (95 %: {:.2} to {:.2} %, limit {:.2} %) of n={} {}{}",
            slo.verdict.to_string(),
            clipped(&slo.slo.to_string()),
            match slo.ms {
                Some(ms) => format!("{} ms; ", milliseconds(ms)),
                None => String::new(),
            },
            100.0 * slo.share,
            100.0 * low,
            100.0 * high,
            100.0 * slo.share_limit,
            slo.n,
            slo.unit(),
            match slo.verdict {
                Verdict::Inconclusive if slo.n == 0 => ": nothing was measured",
                Verdict::Inconclusive => ": a longer run decides",
                _ => "",
            }
        );
    }
    text += &failures(record);
    for example in &record.examples {
        let _ = writeln!(
            text,
            "example      {} (request {}): {}",
            clipped(&example.kind),
            example.request,
            clipped(&example.detail)
        );
    }
    for (name, line) in remarks(record) {
        let _ = writeln!(text, "remark       {line} ({name})");
    }
    if record.total.chunks_together > TOGETHER_TOLD {
        let _ = writeln!(
            text,
            "note         {:.0} % of text frames arrived together with the previous one: something on the path buffers them",
            100.0 * record.total.chunks_together
        );
    }
    if record.saturated {
        let _ = writeln!(
            text,
            "fail         saturated: requests piled up for ten seconds, and {} were still in flight at the end of the run",
            record.client.unfinished
        );
    }
    text += &client(record);
    if let Some(environment) = &record.environment {
        let _ = writeln!(text, "machine      {}", clipped(&environment.in_words()));
    }
    if let Some(tokenizer) = &record.tokenizer {
        let _ = writeln!(text, "tokenizer    {}", clipped(&tokenizer.in_words()));
    }
    text += &workers(record);
    for doubt in &record.doubts {
        let _ = writeln!(text, "invalid      {}", clipped(doubt));
    }
    let _ = writeln!(
        text,
        "{} on {}: {} (seed {}; {:.1} s counted)",
        clipped(&record.name),
        clipped(&record.stack),
        conclusion_of_load(record),
        record.seed,
        record.window_s,
    );
    text
}

/// Renders the record as Markdown.
pub fn markdown(record: &Record) -> String {
    fenced(&render(record))
}

fn requests(record: &Record) -> String {
    let mut table = Builder::new();
    let mut titles = vec![
        "", "requests", "failed", "req/s", "tokens/s", "goodput", "TTFT p50", "p95", "p99",
    ];
    let reasons = reasons_first(record);
    if reasons {
        titles.extend(["TTFA p50", "p95"]);
    }
    titles.extend(["TPOT p50", "p95", "E2E p50", "p95", "p99"]);
    table.push_record(titles);
    let groups = record.classes.iter().chain(&record.stages);
    let total = (record.classes.len() > 1).then_some(&record.total);
    for group in groups.chain(total) {
        let failed = group.failures();
        let mut row = vec![
            clipped(&group.name).into_owned(),
            group.requests.to_string(),
            failed.to_string(),
            format!("{:.1}", group.answered_per_s),
            format!("{:.0}", group.output_tokens_per_s),
            format!("{:.1} %", 100.0 * group.goodput),
        ];
        for (series, percentiles) in [
            (Series::Ttft, &[50.0, 95.0, 99.0][..]),
            (Series::Ttfa, if reasons { &[50.0, 95.0] } else { &[] }),
            (Series::Tpot, &[50.0, 95.0]),
            (Series::E2e, &[50.0, 95.0, 99.0]),
        ] {
            row.extend(percentiles.iter().map(|p| cell(group, series, *p)));
        }
        table.push_record(row);
    }
    let ttfa = match reasons {
        true => "; TTFA: to the first token that is no reasoning",
        false => "",
    };
    let few: String = record.classes.iter().filter_map(few).collect();
    format!(
        "{}\ntimes in ms, counted from when a request was due; -: too few samples (p50 needs 20 requests, p95 200, p99 1,000){ttfa}\n{few}\n",
        table.build().with(Style::sharp())
    )
}

/// Whether any answer reasons before its answer.
pub(in super::super) fn reasons_first(record: &Record) -> bool {
    record.total.times.contains_key(Series::Ttfa.name())
}

/// The name of each remark, and what it means for how many answers.
pub(in super::super) fn remarks(record: &Record) -> impl Iterator<Item = (String, String)> {
    let total = &record.total;
    total.remarks.iter().map(|(name, count)| {
        let known = Remark::named(name);
        let words = known.map_or("not known to this version", Remark::in_words);
        let mut line = format!("{count} of {} answers: {words}", total.answered);
        if known == Some(Remark::Shorter) {
            let (came, asked) = (total.output_tokens, total.asked_tokens);
            line.push_str(&format!(", {came} of {asked} over all"));
        }
        (clipped(name).into_owned(), line)
    })
}

/// The figures that a sample has which is too small for the percentiles of the table: means, and medians where p50 is missing.
pub(in super::super) fn few(group: &Group) -> Option<String> {
    const SHOWN: [(Series, &str); 3] = [
        (Series::Ttft, "TTFT"),
        (Series::Tpot, "TPOT"),
        (Series::E2e, "E2E"),
    ];
    let is_complete = group.percentile_ms(Series::E2e, 99.0).is_some();
    if is_complete || group.answered == 0 {
        return None;
    }
    let figures = |name: &str, of: &dyn Fn(&Times) -> Option<f64>| {
        let figures = SHOWN.iter().filter_map(|(series, shown)| {
            let ms = of(group.times.get(series.name())?)?;
            Some(format!("{shown} {}", milliseconds(Some(ms))))
        });
        let figures: Vec<String> = figures.collect();
        (!figures.is_empty()).then(|| format!("; {name}: {}", figures.join(", ")))
    };
    let means = figures("mean", &|times| Some(times.mean_ms));
    let medians = figures("median", &|times| {
        let is_missing = times.percentile_ms(50.0).is_none();
        is_missing.then(|| median_ms(times)).flatten()
    });
    let mut text = format!("{:12} {} answers", clipped(&group.name), group.answered);
    text += &means.unwrap_or_default();
    text += &medians.unwrap_or_default();
    if !group.times.contains_key(Series::Ttft.name()) {
        text += "; no token was seen, so that there is no TTFT";
    }
    Some(text + "\n")
}

/// The median of the answers, from all recorded values; `None` if the record lacks them.
fn median_ms(times: &Times) -> Option<f64> {
    let mut seen = 0;
    let mut values = times.histogram_us.iter();
    let middle = values.find(|(_, count)| {
        seen += count;
        2 * seen >= times.n
    });
    middle.map(|(us, _)| *us as f64 / 1000.0)
}

/// Failures of each class, by reason.
fn failures(record: &Record) -> String {
    let failed = record.classes.iter().filter(|class| class.failures() > 0);
    let lines = failed.map(|class| {
        let mut kinds: Vec<(&String, &u64)> = class.failed.iter().collect();
        kinds.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let kinds = kinds
            .iter()
            .map(|(kind, count)| format!("{count} {}", clipped(kind)));
        format!(
            "failed       {} of {} {}: {}\n",
            class.failures(),
            class.requests,
            clipped(&class.name),
            kinds.collect::<Vec<_>>().join(", ")
        )
    });
    lines.collect()
}

fn adapters(record: &Record) -> String {
    if record.adapters.is_empty() {
        return String::new();
    }
    let mut table = Builder::new();
    table.push_record([
        "adapter",
        "class",
        "requests",
        "failed",
        "TTFT p50",
        "p95",
        "requests by endpoint",
    ]);
    for share in &record.adapters {
        let group = &share.group;
        let endpoints = share.endpoints.iter();
        let endpoints =
            endpoints.map(|served| format!("{} {}", clipped(&served.endpoint), served.requests));
        table.push_record([
            clipped(&group.name).into_owned(),
            clipped(&share.class).into_owned(),
            group.requests.to_string(),
            group.failures().to_string(),
            cell(group, Series::Ttft, 50.0),
            cell(group, Series::Ttft, 95.0),
            endpoints.collect::<Vec<_>>().join(", "),
        ]);
    }
    format!("{}\n\n", table.build().with(Style::sharp()))
}

fn endpoints(record: &Record) -> String {
    if record.pools.is_empty() || record.total.requests == record.unattributed {
        return String::new();
    }
    let mut table = Builder::new();
    table.push_record([
        "pool", "share", "weight", "Jain", "endpoint", "requests", "failed", "tokens/s",
        "TTFT p50", "p95",
    ]);
    for pool in &record.pools {
        for (number, endpoint) in pool.endpoints.iter().enumerate() {
            let of_pool = match number {
                0 => [
                    clipped(&pool.pool).into_owned(),
                    format!("{:.1} %", 100.0 * pool.share),
                    format!("{:.1} %", 100.0 * pool.weight_share),
                    format!("{:.3}", pool.jain),
                ],
                _ => Default::default(),
            };
            let failed = endpoint.failures();
            let mut row = of_pool.to_vec();
            row.extend([
                clipped(&endpoint.name).into_owned(),
                endpoint.requests.to_string(),
                failed.to_string(),
                format!("{:.0}", endpoint.output_tokens_per_s),
                cell(endpoint, Series::Ttft, 50.0),
                cell(endpoint, Series::Ttft, 95.0),
            ]);
            table.push_record(row);
        }
    }
    let mut text = format!("{}\n", table.build().with(Style::sharp()));
    if record.unattributed > 0 {
        let _ = writeln!(
            text,
            "{} requests were answered by no known endpoint of the target",
            record.unattributed
        );
    }
    text.push('\n');
    text
}

/// The line about the client: its requests, its cost and how late it sent.
pub(in super::super) fn client(record: &Record) -> String {
    let client = &record.client;
    let wall_ms = client
        .threads
        .iter()
        .map(|thread| thread.wall_ms)
        .fold(0.0, f64::max);
    let cpu_ms: f64 = client.threads.iter().map(|thread| thread.cpu_ms).sum();
    let p99 = |times: &Option<Times>| {
        let times = times.as_ref()?;
        Some(match times.percentile_ms(99.0).flatten() {
            Some(ms) => format!("p99 {} ms", milliseconds(Some(ms))),
            None => format!("at most {} ms", milliseconds(Some(times.max_ms))),
        })
    };
    let mut text = format!(
        "client       {} requests started, {:.1} us of CPU each, {:.0} % of {} threads",
        client.started_requests,
        client.cpu_us_per_request,
        100.0 * cpu_ms / (wall_ms * client.threads.len().max(1) as f64).max(1.0),
        client.threads.len(),
    );
    if let Some(lag) = p99(&client.lag) {
        let _ = write!(
            text,
            "; send lag: {lag}, {:.2} % above {LATE_MS} ms",
            100.0 * client.late
        );
    }
    if let Some(connect) = p99(&client.connect) {
        let _ = write!(text, "; connect: {connect}");
    }
    if client.resent > 0 {
        let _ = write!(
            text,
            "; {} refused unprocessed and sent again",
            client.resent
        );
    }
    if client.unfinished > 0 {
        let _ = write!(text, "; {} unfinished", client.unfinished);
    }
    text + "\n"
}

fn workers(record: &Record) -> String {
    let lines = record
        .workers
        .iter()
        .map(|one| format!("{:12} {}\n", clipped(&one.name), worker(one)));
    lines.collect()
}

/// The line of a worker.
pub(in super::super) fn worker(worker: &Worker) -> String {
    let mut text = format!(
        "{}: {}{} sent; clock offset {:+.3} ms (± {:.3} ms)",
        clipped(&worker.place),
        worker.sent,
        match worker.planned {
            Some(planned) => format!(" of {planned}"),
            None => String::new(),
        },
        worker.clock_offset_ms,
        worker.clock_uncertainty_ms,
    );
    if let (Some(cpu_ms), Some(cores)) = (worker.cpu_ms, worker.cores) {
        let _ = write!(text, "; {cpu_ms:.0} ms of CPU on {cores} processors");
    }
    if worker.lost.is_some() {
        text += "; lost";
    }
    text
}

/// A percentile of a group's times, or a dash if the sample is too small.
pub(in super::super) fn cell(group: &Group, series: Series, percentile: f64) -> String {
    group
        .percentile_ms(series, percentile)
        .map_or_else(|| "-".to_owned(), milliseconds)
}

/// Formats a time; `None` is the time of a failure.
pub(super) fn milliseconds(ms: Option<f64>) -> String {
    match ms {
        None => "never".to_owned(),
        Some(ms) if ms < 10.0 => format!("{ms:.2}"),
        Some(ms) if ms < 100.0 => format!("{ms:.1}"),
        Some(ms) => format!("{ms:.0}"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{html, openmetrics};

    #[test]
    fn remarks_and_the_time_to_the_first_answer_token_are_shown_where_there_are_any() {
        let reports = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../reports");
        let mut record = Record::read(&reports.join("load-local-envoy/load.json")).unwrap();
        let text = render(&record);
        assert!(!text.contains("remark") && !text.contains("TTFA"));
        for group in record.classes.iter_mut().chain([&mut record.total]) {
            let ttft = group.times["ttft"].clone();
            group.times.insert("ttfa".to_owned(), ttft);
            let counts = [("shorter", 7), ("of-a-later-version", 3)];
            group.remarks = counts.map(|(name, n)| (name.to_owned(), n)).into();
            (group.output_tokens, group.asked_tokens) = (45, 150);
        }
        let text = render(&record);
        let page = html::render_load(&record);
        for shown in [&text, &page] {
            let words = "fewer tokens than were asked for, 45 of 150 over all (shorter)";
            assert!(
                shown.contains(&format!("7 of 2215 answers: {words}")),
                "{shown}"
            );
            assert!(shown.contains("(of-a-later-version)") && shown.contains("TTFA p"));
        }
        let metrics = openmetrics::render_load(&record).unwrap();
        let line = "poolproof_load_remarks_total{class=\"chat\",kind=\"shorter\"} 7";
        assert!(metrics.contains(line), "{metrics}");
    }
}
