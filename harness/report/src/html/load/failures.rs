//! What failed in a load run and why, with the text of the servers; and what was odd about answers that count as good.

use maud::{Markup, html};

use super::super::super::clipped;
use super::super::super::terminal::load::remarks;
use super::super::chart::Ink;
use super::super::number::{count, percent};
use super::super::part::{bar, wide};
use poolproof_records::load::{Group, Record};

/// Most examples of one kind, and most endpoints of one kind.
const EXAMPLES_SHOWN: usize = 3;
const ENDPOINTS_SHOWN: usize = 6;

/// Share of frames that arrive together with the previous one above which the page has a note, as the terminal has.
const TOGETHER_SHOWN: f64 = 0.25;

/// Failures by kind, then remarks.
pub(super) fn body(record: &Record) -> Markup {
    let total = &record.total;
    html! {
        @if total.failed.is_empty() {
            p { "No request failed: all " (count(total.requests)) " were answered." }
        } @else {
            (kinds(record))
        }
        @if total.chunks_together > TOGETHER_SHOWN {
            p { (percent(total.chunks_together)) " of the text frames arrived together with the previous one: something on the path buffers them." }
        }
        @if !total.remarks.is_empty() {
            h3 { "Remarks on answers that count as good" }
            ul { @for (name, line) in remarks(record) { li { (line) " (" (name) ")" } } }
        }
    }
}

fn kinds(record: &Record) -> Markup {
    let total = &record.total;
    let mut kinds: Vec<(&String, u64)> = total.failed.iter().map(|(kind, n)| (kind, *n)).collect();
    kinds.sort_by_key(|(_, number)| std::cmp::Reverse(*number));
    let share = |number: u64| number as f64 / total.requests.max(1) as f64;
    let several = record.classes.len() > 1;
    let endpoints = || record.pools.iter().flat_map(|pool| &pool.endpoints);
    let placed = endpoints().any(|endpoint| endpoint.failures() > 0);
    html! {
        (wide("Failures by kind", html! {
            table.stack {
                thead {
                    tr {
                        th.text { "failure" } th { "requests" } th { "share" } th { "" } th.text { "meaning" }
                        @if several { th.text { "classes" } }
                        @if placed { th.text { "endpoints" } }
                    }
                }
                tbody {
                    @for (kind, number) in &kinds {
                        tr {
                            td.text data-label="failure" { strong { bdi { (clipped(kind)) } } }
                            td data-label="requests" { (count(*number)) }
                            td data-label="share" { (percent(share(*number))) }
                            td { (bar(share(*number), Ink::Fail)) }
                            td.text.long data-label="meaning" { (meaning(kind)) }
                            @if several { td.text data-label="classes" { (by(&mut record.classes.iter(), kind)) } }
                            @if placed { td.text data-label="endpoints" { (by(&mut endpoints(), kind)) } }
                        }
                    }
                }
            }
        }))
        @if !record.examples.is_empty() {
            h3 { "In the servers' words" }
            @for (kind, _) in &kinds { (examples(record, kind)) }
        }
    }
}

/// Examples of one kind. Equal texts are one, with the numbers of their requests.
fn examples(record: &Record, kind: &str) -> Markup {
    let mut distinct: Vec<(&str, Vec<u64>)> = Vec::new();
    for example in record
        .examples
        .iter()
        .filter(|example| example.kind == kind)
    {
        match distinct
            .iter_mut()
            .find(|(text, _)| *text == example.detail)
        {
            Some((_, requests)) => requests.push(example.request),
            None => distinct.push((&example.detail, vec![example.request])),
        }
    }
    html! {
        @for (text, requests) in distinct.iter().take(EXAMPLES_SHOWN) {
            p.note {
                strong { bdi { (clipped(kind)) } }
                @if requests.len() == 1 { ", request " } @else { ", requests " }
                @for (place, request) in requests.iter().enumerate() { @if place > 0 { ", " } (request) }
            }
            pre { bdi { (clipped(text)) } }
        }
    }
}

/// The groups that have such failures, most affected first.
fn by(groups: &mut dyn Iterator<Item = &Group>, kind: &str) -> String {
    let with = groups.filter_map(|group| Some((&group.name, *group.failed.get(kind)?)));
    let mut with: Vec<(&String, u64)> = with.collect();
    with.sort_by_key(|(_, number)| std::cmp::Reverse(*number));
    let more = with.len().saturating_sub(ENDPOINTS_SHOWN);
    let with = with.iter().take(ENDPOINTS_SHOWN);
    let mut words: Vec<String> = with
        .map(|(name, number)| format!("{} {}", clipped(name), count(*number)))
        .collect();
    if more > 0 {
        words.push(format!("{more} more"));
    }
    words.join(", ")
}

/// What a kind of failure means. Kinds of later versions have no words here.
fn meaning(kind: &str) -> String {
    if let Some(code) = kind.strip_prefix("status-") {
        return format!("answered with status {} and not 200", clipped(code));
    }
    let words = match kind {
        "no-connection" => "no connection: refused, no answer, or no handshake",
        "client-limit" => "this machine had no port or no file descriptor left",
        "closed-before-answer" => "the connection ended before an answer began",
        "closed-when-reused" => "a kept connection ended before an answer began",
        "cut" => "the connection ended in the middle of an answer",
        "timed-out" => "not answered within the timeout of the workload",
        "not-http" => "the answer is not HTTP",
        "encoded" => "the body is compressed in an unknown way, or not as its header states",
        "too-long" => "an event, a text or a head beyond the limit",
        "not-json" => "not the JSON of the API",
        "no-answer" => "neither text nor a reason why there is none",
        "error-body" => "status 200, and the body is an error",
        "not-streamed" => "a stream was requested, and something else came",
        "error-event" => "the stream contained an error",
        "aborted" => "the finish reason is that of an answer that was broken off",
        "no-done" => "the stream ended early: no [DONE] and no finish reason",
        "no-finish" => "the stream had text, no finish reason, and not all tokens",
        "repeated" => "text frames repeat earlier ones",
        "out-of-order" => "text after the end of the answer",
        "mixed" => "frames with different ids",
        "deviates" => "deviates from the API, which is a failure with strict",
        _ => "",
    };
    words.to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{HOSTILE, record};
    use super::*;
    use poolproof_records::load::Example;

    #[test]
    fn failures_are_sorted_by_number_with_meaning_place_and_text() {
        let mut record = record();
        let failed = [("cut".to_owned(), 3), ("status-429".to_owned(), 20)];
        record.total.failed = failed.clone().into();
        record.pools[0].endpoints[1].failed = failed.into();
        let example = |request| Example {
            kind: "status-429".to_owned(),
            request,
            detail: format!("slow down {HOSTILE}"),
        };
        record.examples = vec![example(41), example(43)];
        let body = body(&record).into_string();
        assert!(body.find("status-429") < body.find(">cut<"), "{body}");
        for shown in [
            "answered with status 429",
            "model-a-1 20",
            "requests 41, 43",
            "<pre><bdi>slow down &lt;script&gt;",
        ] {
            assert!(body.contains(shown), "{shown}: {body}");
        }
    }

    #[test]
    fn a_run_without_failures_has_a_sentence_and_no_table() {
        let body = body(&record()).into_string();
        assert!(
            body.contains("all 2,215 were answered") && !body.contains("<table"),
            "{body}"
        );
    }
}
