//! Who served the requests of a load run: pools with their shares, endpoints, LoRA adapters.

use maud::{Markup, html};

use super::super::super::clipped;
use super::super::chart::Ink;
use super::super::number::{Unit, count, figure, percent};
use super::super::part::{bar, wide};
use super::figures::cell;
use poolproof_model::workload::Series;
use poolproof_records::load::{Group, PoolShare, Record};

/// The tables. Nothing if no answer named an endpoint.
pub(super) fn body(record: &Record) -> Markup {
    let is_known = record.total.requests > record.unattributed;
    html! {
        @if is_known && !record.pools.is_empty() {
            (endpoints(record))
            @if record.unattributed > 0 {
                p.note { (count(record.unattributed)) " requests were answered by no known endpoint of the target, or not at all." }
            }
            p.note { "Jain's index: 1 if all endpoints of the pool got equally many requests, 1/n if one of n got all." }
        }
        (adapters(record))
    }
}

fn endpoints(record: &Record) -> Markup {
    let all = || record.pools.iter().flat_map(|pool| &pool.endpoints);
    let most = all()
        .map(|endpoint| endpoint.requests)
        .max()
        .unwrap_or(0)
        .max(1);
    let unit =
        |series| Unit::of(all().filter_map(move |it| it.percentile_ms(series, 95.0).flatten()));
    let (ttft, tpot) = (unit(Series::Ttft), unit(Series::Tpot));
    wide(
        "Requests by pool and endpoint",
        html! {
            table {
                thead {
                    tr {
                        th.text rowspan="2" { "endpoint" } th colspan="4" { "requests" } th rowspan="2" { "tokens/s" }
                        th.first colspan="2" { "TTFT, " (ttft.symbol()) } th.first colspan="2" { "TPOT, " (tpot.symbol()) }
                    }
                    tr {
                        th { "all" } th { "share of the pool" } th { "" } th { "failed" }
                        th.first { "p50" } th { "p95" } th.first { "p50" } th { "p95" }
                    }
                }
                @for pool in &record.pools {
                    tbody {
                        tr.sum { th scope="rowgroup" colspan="10" { (pool_line(pool)) } }
                        @for endpoint in &pool.endpoints {
                            tr {
                                th scope="row" { bdi { (clipped(&endpoint.name)) } }
                                td { (count(endpoint.requests)) }
                                td { (percent(endpoint.requests as f64 / requests(pool).max(1) as f64)) }
                                td { (bar(endpoint.requests as f64 / most as f64, Ink::Series(0))) }
                                td class=[(endpoint.failures() > 0).then_some("bad")] { (count(endpoint.failures())) }
                                td { (figure(endpoint.output_tokens_per_s)) }
                                (cell(endpoint, Series::Ttft, 50.0, ttft, true)) (cell(endpoint, Series::Ttft, 95.0, ttft, false))
                                (cell(endpoint, Series::Tpot, 50.0, tpot, true)) (cell(endpoint, Series::Tpot, 95.0, tpot, false))
                            }
                        }
                    }
                }
            }
        },
    )
}

fn requests(pool: &PoolShare) -> u64 {
    pool.endpoints
        .iter()
        .map(|endpoint| endpoint.requests)
        .sum()
}

fn pool_line(pool: &PoolShare) -> Markup {
    html! {
        "pool " bdi { (clipped(&pool.pool)) }
        span.soft {
            ": " (percent(pool.share)) " of the requests for " bdi { (clipped(&pool.model)) }
            ", " (percent(pool.weight_share)) " by weight; Jain's index " (format!("{:.3}", pool.jain))
        }
    }
}

fn adapters(record: &Record) -> Markup {
    let groups = || record.adapters.iter().map(|adapter| &adapter.group);
    let unit = Unit::of(
        groups().filter_map(|group: &Group| group.percentile_ms(Series::Ttft, 95.0).flatten()),
    );
    html! {
        @if !record.adapters.is_empty() {
            h3 { "LoRA adapters" }
            (wide("Requests by adapter", html! {
                table {
                    thead {
                        tr {
                            th.text { "adapter" } th.text { "class" } th { "requests" } th { "failed" }
                            th { "TTFT p50, " (unit.symbol()) } th { "p95" } th.text { "requests by endpoint" }
                        }
                    }
                    tbody {
                        @for share in &record.adapters {
                            tr {
                                th scope="row" { bdi { (clipped(&share.group.name)) } }
                                td.text { bdi { (clipped(&share.class)) } }
                                td { (count(share.group.requests)) }
                                td class=[(share.group.failures() > 0).then_some("bad")] { (count(share.group.failures())) }
                                (cell(&share.group, Series::Ttft, 50.0, unit, false)) (cell(&share.group, Series::Ttft, 95.0, unit, false))
                                td.text.long {
                                    @for (number, served) in share.endpoints.iter().enumerate() {
                                        @if number > 0 { ", " } bdi { (clipped(&served.endpoint)) } " " (count(served.requests))
                                    }
                                }
                            }
                        }
                    }
                }
            }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::record;
    use super::*;
    use poolproof_records::load::{AdapterShare, Served};

    #[test]
    fn endpoints_stand_under_their_pool_with_their_share() {
        let body = body(&record()).into_string();
        let pool = body.find("pool <bdi>model-a</bdi>").unwrap_or(usize::MAX);
        assert!(pool < body.find("model-a-0").unwrap_or(0), "{body}");
        assert!(
            body.contains("32.69 %") && body.contains("Jain's index 1.000"),
            "{body}"
        );
    }

    #[test]
    fn without_answers_that_name_an_endpoint_there_is_no_table() {
        let mut record = record();
        record.unattributed = record.total.requests;
        assert!(body(&record).0.is_empty());
        record.adapters.push(AdapterShare {
            class: "chat".to_owned(),
            group: record.classes[0].clone(),
            endpoints: vec![Served {
                pool: "p".to_owned(),
                endpoint: "<i>e".to_owned(),
                requests: 1234,
            }],
        });
        let body = body(&record).into_string();
        assert!(body.contains("&lt;i&gt;e</bdi> 1,234"), "{body}");
    }
}
