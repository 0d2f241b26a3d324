//! The record of a load run as a web page.

use maud::{Markup, html};

use super::super::clipped;
use super::super::terminal::load::{cell, reasons_first, remarks, worker};
use super::{client, page, pictures};
use poolproof_model::picture::Picture;
use poolproof_model::verdict::Verdict;
use poolproof_model::workload::Series;
use poolproof_records::load::{Conclusion, Record};

/// Renders the objectives, the figures of each class and adapter, their distributions, and the requests per endpoint.
pub fn render(record: &Record) -> String {
    let (state, conclusion) = match record.conclusion() {
        Conclusion::Met => ("pass", "every objective was met"),
        Conclusion::Missed => ("fail", "an objective was missed"),
        Conclusion::Undecided if record.doubts.is_empty() => ("undecided", "not decided"),
        Conclusion::Undecided => ("undecided", "not to be trusted"),
        Conclusion::Interrupted => ("undecided", "interrupted"),
    };
    let name = clipped(&record.name);
    let title = format!("{name} on {}: {conclusion}", clipped(&record.stack));
    page(
        &title,
        html! {
            header class=(state) {
                h1 { (title) }
                p { (clipped(record.workload.shows.trim())) }
                @for doubt in &record.doubts { p { "invalid: " (clipped(doubt)) } }
            }
            @if !record.slos.is_empty() {
                section {
                    h2 { "Objectives" }
                    @for slo in &record.slos {
                        article class=(slo.verdict) {
                            h3 { span.mark { (slo.verdict) } " " (clipped(&slo.slo.to_string())) }
                            p {
                                (percent(slo.share)) " " (slo.share_of())
                                " (95 %: " (percent(slo.share_interval.0)) " to " (percent(slo.share_interval.1))
                                ", limit " (percent(slo.share_limit)) ") of " (slo.n) " " (slo.unit())
                                @if slo.verdict == Verdict::Inconclusive && slo.n == 0 { ": nothing was measured" }
                                @else if slo.verdict == Verdict::Inconclusive { ": a longer run decides" }
                            }
                        }
                    }
                }
            }
            section {
                h2 { "Requests" }
                (groups(record))
                @for (name, line) in remarks(record) { p { "remark: " (line) " (" (name) ")" } }
                (pictures(&distributions(record)))
            }
            @if !record.pools.is_empty() {
                section {
                    h2 { "Requests by endpoint" }
                    (pictures(&[shares(record)]))
                }
            }
            section {
                h2 { "About this run" }
                dl {
                    dt { "started" } dd { (record.started.strftime("%Y-%m-%d %H:%M:%S UTC")) ", " (format!("{:.0}", record.window_s)) " s counted" }
                    dt { "poolproof" } dd { (clipped(&record.tool_version)) ", seed " (record.seed) }
                    dt { "client" } dd {
                        (client(record.environment.as_ref(), record.client.cores)) "; " (format!("{:.1}", record.client.cpu_us_per_request)) " us of CPU per request; "
                        (percent(record.client.late)) " sent late"
                    }
                    @if let Some(tokenizer) = &record.tokenizer {
                        dt { "tokenizer" } dd { (clipped(&tokenizer.in_words())) }
                    }
                    @for it in &record.workers {
                        dt { (clipped(&it.name)) } dd { (worker(it)) }
                    }
                    @for it in &record.components {
                        dt { (clipped(&it.role)) } dd { (clipped(&it.version)) }
                    }
                }
            }
        },
    )
}

fn groups(record: &Record) -> Markup {
    let ttfa: &[_] = match reasons_first(record) {
        true => &[(Series::Ttfa, 50.0), (Series::Ttfa, 95.0)],
        false => &[],
    };
    let ttft = [50.0, 95.0, 99.0].map(|p| (Series::Ttft, p));
    let others = [
        (Series::Tpot, 50.0),
        (Series::Tpot, 95.0),
        (Series::E2e, 50.0),
        (Series::E2e, 95.0),
    ];
    let columns = [&ttft, ttfa, &others].concat();
    let adapters = record.adapters.iter().map(|adapter| &adapter.group);
    html! {
        div.wide {
            table {
                tr {
                    th { "" } th { "requests" } th { "failed" } th { "req/s" } th { "tokens/s" } th { "goodput" }
                    @for (series, percentile) in &columns {
                        th { (series.name().to_uppercase()) " p" (percentile) " ms" }
                    }
                }
                @for group in record.classes.iter().chain(adapters).chain(&record.stages) {
                    tr {
                        td { (clipped(&group.name)) }
                        td { (group.requests) }
                        td { (group.failures()) }
                        td { (format!("{:.1}", group.answered_per_s)) }
                        td { (format!("{:.0}", group.output_tokens_per_s)) }
                        td { (percent(group.goodput)) }
                        @for (series, percentile) in &columns {
                            td { (cell(group, *series, *percentile)) }
                        }
                    }
                }
            }
        }
    }
}

/// Distributions of each class up to its p99; the tail beyond it would compress the rest of the chart.
fn distributions(record: &Record) -> Vec<Picture> {
    const SHOWN: f64 = 0.99;
    let of = |series: Series| {
        let lines = record.classes.iter().filter_map(|group| {
            let times = group.times.get(series.name())?;
            let failed = group.failures();
            let n = (times.n + failed).max(1) as f64;
            let mut below = 0.0;
            let points = times.histogram_us.iter().map(|(us, count)| {
                below += *count as f64 / n;
                (*us as f64 / 1000.0, below)
            });
            let points = points.take_while(|(_, share)| *share <= SHOWN).collect();
            Some((group.name.clone(), points))
        });
        let name = series.name().replace('_', " ").to_uppercase();
        let axes = ("ms", "share at or below");
        Picture::lines(
            format!("{name} of each class, up to p99"),
            axes,
            lines.collect(),
        )
    };
    [Series::Ttft, Series::ItlChunk, Series::E2e].map(of).into()
}

fn shares(record: &Record) -> Picture {
    let endpoints = record.pools.iter().flat_map(|pool| &pool.endpoints);
    let bars = endpoints.map(|endpoint| (endpoint.name.clone(), endpoint.requests as f64));
    Picture::bars("requests by endpoint", "requests", bars.collect())
}

fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}
