//! The record of a limit search, for the terminal.

use super::super::clipped;
use poolproof_records::load::search::{Probe, RateSearch};

/// Renders one line per probed rate, and the conclusion.
pub fn render(record: &RateSearch) -> String {
    let mut lines: Vec<String> = record.search.probes.iter().map(line).collect();
    lines.push(format!(
        "{} on {} (seed {}): {}",
        clipped(&record.name),
        clipped(&record.stack),
        record.seed,
        clipped(&record.conclusion())
    ));
    lines.join("\n")
}

/// The line of a probe.
pub fn line(probe: &Probe) -> String {
    format!(
        "{:9.2} req/s  {:12} TTFT p95 {:>9} ms  {:.0} tokens/s  {}",
        probe.rate_per_s,
        probe.verdict.to_string(),
        probe.ttft_p95(),
        probe.output_tokens_per_s,
        clipped(&probe.remarks())
    )
}

#[cfg(test)]
mod tests {
    use poolproof_records::samples::rate_search;

    #[test]
    fn each_rate_has_a_line_and_the_last_line_is_the_result() {
        let mut record = rate_search();
        record.name = "w\u{1b}[2J".to_owned();
        let text = super::render(&record);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 6);
        assert!(
            lines[2].contains("40.00 req/s  fail") && lines[2].contains("never"),
            "{text}"
        );
        assert!(lines[5].contains("limit: 20.00 req/s"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
    }
}
