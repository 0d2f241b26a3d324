//! The comparison of the gateway with round robin, as a web page.

use maud::html;

use super::super::{better, clipped};
use super::page;
use poolproof_records::load::overhead::BLOCKS_MIN;
use poolproof_records::load::overhead::Overhead;

/// Renders each figure with both medians, their difference and its interval, then facts about the run.
pub fn render(record: &Overhead) -> String {
    let state = if record.compared.is_empty() {
        "undecided"
    } else {
        "pass"
    };
    let title = format!("gateway and round robin on {}", clipped(&record.stack));
    page(
        &title,
        html! {
            header class=(state) {
                h1 { (title) }
                p {
                    "pool " (clipped(&record.pool)) ", " (record.pairs) " pairs of blocks; both blocks of a pair have the same requests"
                    @if let Some(factor) = record.uneven {
                        "; its first endpoint is " (factor) " times as slow"
                    }
                }
            }
            section {
                h2 { "Medians over blocks, and median differences" }
                @if record.compared.is_empty() {
                    p { "No figure has the " (BLOCKS_MIN) " pairs of blocks needed for a median with an interval." }
                } @else {
                    div.wide {
                        table {
                            tr { th { "" } th { "gateway" } th { "round robin" } th { "difference" } th { "95 %" } th { "" } }
                            @for compared in &record.compared {
                                tr {
                                    td { (clipped(&compared.figure)) }
                                    td { (format!("{:.2}", compared.first)) }
                                    td { (format!("{:.2}", compared.second)) }
                                    td { (format!("{:+.2}", compared.difference)) }
                                    td { (format!("{:+.2} to {:+.2}", compared.interval.0, compared.interval.1)) }
                                    td { @if let Some(better) = better(compared) { (better) } }
                                }
                            }
                        }
                    }
                }
            }
            section {
                h2 { "About this run" }
                dl {
                    dt { "started" } dd { (record.started.strftime("%Y-%m-%d %H:%M:%S UTC")) }
                    dt { "poolproof" } dd { (clipped(&record.tool_version)) ", seed " (record.seed) }
                    @for component in &record.components {
                        dt { (clipped(&component.role)) } dd { (clipped(&component.version)) }
                    }
                }
            }
        },
    )
}
