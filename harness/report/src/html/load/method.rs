//! How a load run was measured: what was sent, from where, what that cost, and what each time means.

use maud::{Markup, html};

use super::super::super::terminal::load::{client, worker};
use super::super::super::{clipped, moment};
use super::super::number::{count, duration};
use super::super::part::{facts, machine, wide};
use poolproof_records::load::Record;
use poolproof_records::load::calibration::Calibration;

/// Facts about the run, and the formula of each time.
pub(super) fn body(record: &Record) -> Markup {
    let outline = record.workload.outline();
    let mut all = vec![
        ("started", moment(record.started)),
        (
            "counted",
            format!(
                "{}; warm-up {}",
                duration(record.window_s),
                duration(record.workload.warm_up_s)
            ),
        ),
        ("sent", outline.replace('\n', "; ")),
        (
            "to",
            format!("{}, {}", record.target.name, record.target.url),
        ),
        (
            "poolproof",
            format!("{}, seed {}", record.tool_version, record.seed),
        ),
        (
            "machine",
            machine(record.environment.as_ref(), record.client.cores),
        ),
        ("client", client_line(record)),
    ];
    if let Some(tokenizer) = &record.tokenizer {
        all.push(("tokenizer", tokenizer.in_words()));
    }
    let workers = record
        .workers
        .iter()
        .map(|one| (one.name.as_str(), worker(one)));
    let components = record.components.iter();
    let components = components.map(|it| (it.role.as_str(), it.version.clone()));
    let all: Vec<(&str, String)> = all.into_iter().chain(workers).chain(components).collect();
    html! {
        (facts(&all))
        @if let Some(calibration) = &record.client.calibration { (error(calibration)) }
        @if !record.formulas.is_empty() {
            details.unfold {
                summary { "What each time is" }
                dl.facts.inside { @for (name, formula) in &record.formulas { dt { code { (clipped(name)) } } dd { (clipped(formula)) } } }
            }
        }
    }
}

/// The terminal's line about the client, without its first word.
fn client_line(record: &Record) -> String {
    let line = client(record);
    line.trim()
        .strip_prefix("client")
        .unwrap_or(&line)
        .trim()
        .to_owned()
}

/// How far the client's times were from those of a server on the same machine.
fn error(calibration: &Calibration) -> Markup {
    html! {
        details.unfold {
            summary { "Measurement error of this machine, calibrated " (calibration.made.strftime("%Y-%m-%d %H:%M UTC")) }
            (wide("Measurement error", html! {
                table {
                    thead {
                        tr {
                            th rowspan="2" { "open streams" } th rowspan="2" { "answers" } th.first colspan="2" { "TTFT error, ms" } th.first colspan="2" { "ITL error, ms" }
                            th.first rowspan="2" { "send lag p99, ms" } th rowspan="2" { "CPU per token, µs" }
                        }
                        tr {
                            th.first { "p50" } th { "p99" } th.first { "p50" } th { "p99" }
                        }
                    }
                    tbody {
                        @for level in &calibration.levels {
                            @let (ttft, itl) = (level.ttft.error_ms(), level.itl.error_ms());
                            tr {
                                td { (count(level.streams as u64)) } td { (count(level.answers)) }
                                td.first { (signed(ttft.0)) } td { (signed(ttft.1)) } td.first { (signed(itl.0)) } td { (signed(itl.1)) }
                                td.first { (format!("{:.2}", level.lag_p99_ms)) } td { (format!("{:.2}", level.cpu_us_per_token)) }
                            }
                        }
                    }
                }
            }))
        }
    }
}

fn signed(ms: f64) -> String {
    format!("{ms:+.2}")
}

#[cfg(test)]
mod tests {
    use super::super::tests::record;
    use super::*;

    #[test]
    fn the_facts_say_what_was_sent_and_what_each_time_means() {
        let body = body(&record()).into_string();
        for shown in [
            "40 requests per second on average",
            "55 s; warm-up 5 s",
            "requests started",
            "first frame with text - due",
            "TTFT error, ms",
            "seed 1",
        ] {
            assert!(body.contains(shown), "{shown}: {body}");
        }
    }
}
