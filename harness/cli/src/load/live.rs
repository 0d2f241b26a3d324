//! The display of a run while it lasts: a few lines in one place of a terminal, and a plain line every few seconds in a pipe.

use std::collections::{BTreeMap, VecDeque};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use console::{Term, truncate_str};

use crate::progress::Progress;
use poolproof_load::engine::Snapshot;

/// The time that rates and percentiles are about.
const SPAN: Duration = Duration::from_secs(5);
/// How often a pipe gets a line.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// The most kinds of failures and the most endpoints that are shown.
const KINDS_MAX: usize = 6;
const ENDPOINTS_MAX: usize = 8;
/// The longest name of an endpoint that is shown, in characters.
const NAME_CHARS_MAX: usize = 40;

/// Shows the snapshots of a run.
pub(super) struct Live {
    progress: Progress,
    /// What is sent.
    head: String,
    /// When the last request is due, if that is known.
    end_s: Option<f64>,
    terminal: bool,
    began: Option<Instant>,
    next_line: Duration,
    /// The snapshots of the last [`SPAN`], oldest first.
    last: VecDeque<(Duration, Snapshot)>,
}

impl Live {
    pub(super) fn new(progress: &Progress, head: &str, end_s: Option<f64>) -> Self {
        Self {
            progress: progress.clone(),
            head: head.to_owned(),
            end_s,
            terminal: std::io::stderr().is_terminal(),
            began: None,
            next_line: LINE_EVERY,
            last: VecDeque::new(),
        }
    }

    /// Shows the run as it is now.
    pub(super) fn show(&mut self, now: &Snapshot) {
        let at = self.began.get_or_insert_with(Instant::now).elapsed();
        while self
            .last
            .get(1)
            .is_some_and(|(next, _)| at.saturating_sub(*next) >= SPAN)
        {
            self.last.pop_front();
        }
        if self.terminal {
            let width = usize::from(Term::stderr().size().1).max(20) - 1;
            let lines = self.view(now, at).lines();
            let lines = lines.iter().map(|line| truncate_str(line, width, "…"));
            self.progress.show(&lines.collect::<Vec<_>>().join("\n"));
        } else if at >= self.next_line {
            self.next_line = at + LINE_EVERY - Duration::from_millis(500);
            eprintln!("{}", self.view(now, at).line());
        }
        self.last.push_back((at, now.clone()));
    }

    fn view<'a>(&'a self, now: &'a Snapshot, at: Duration) -> View<'a> {
        let (since, before) = match self.last.front() {
            Some((before_at, before)) => (at.saturating_sub(*before_at), now.since(before)),
            None => (at, now.clone()),
        };
        View {
            head: &self.head,
            end_s: self.end_s,
            at_s: at.as_secs_f64(),
            now,
            span_s: since.as_secs_f64(),
            recent: before,
        }
    }
}

/// What is shown at one time.
struct View<'a> {
    head: &'a str,
    end_s: Option<f64>,
    at_s: f64,
    now: &'a Snapshot,
    span_s: f64,
    /// What came in the last seconds.
    recent: Snapshot,
}

impl View<'_> {
    /// For a terminal.
    fn lines(&self) -> Vec<String> {
        let now = self.now;
        let mut lines = vec![
            format!("{}: {}", self.head, self.time()),
            format!(
                "  {}   {} answered, {} failed",
                self.rates("   "),
                now.answered,
                now.failed
            ),
            format!("  {} in the last {:.0} s", self.ttft(), self.span_s),
        ];
        if !now.failures.is_empty() {
            lines.push(format!("  failed: {}", counted(&now.failures)));
        }
        if !now.endpoints.is_empty() {
            lines.push(format!("  served by: {}", shares(&now.endpoints)));
        }
        lines
    }

    /// For a pipe.
    fn line(&self) -> String {
        let mut line = format!("{}: {}: {}", self.head, self.time(), self.rates(", "));
        line += &format!(", {} failed", self.now.failed);
        if !self.now.failures.is_empty() {
            line += &format!(" ({})", counted(&self.now.failures));
        }
        format!("{line}, {}", self.ttft())
    }

    fn time(&self) -> String {
        let at_s = self.at_s;
        match self.end_s {
            None => format!("{at_s:.0} s"),
            Some(end_s) if at_s < end_s => {
                format!("{at_s:.0} of {end_s:.0} s, {:.0} s left", end_s - at_s)
            }
            Some(end_s) => format!(
                "{end_s:.0} s are over, {} answers are awaited",
                self.now.in_flight()
            ),
        }
    }

    fn rates(&self, between: &str) -> String {
        let per_s = |count: u64| count as f64 / self.span_s.max(0.001);
        format!(
            "{:.1} req/s{between}{:.0} tokens/s{between}{} in flight",
            per_s(self.recent.started),
            per_s(self.recent.output_tokens),
            self.now.in_flight()
        )
    }

    /// Failures have no TTFT, so that it is about answers alone.
    fn ttft(&self) -> String {
        let of = |percentile| {
            let ms = self.recent.ttfts.percentile_ms(percentile, 0);
            ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1} ms"))
        };
        format!("TTFT p50 {}, p95 {}", of(50.0), of(95.0))
    }
}

/// Counts of kinds, the largest first.
fn counted(kinds: &BTreeMap<String, u64>) -> String {
    listed(kinds, KINDS_MAX, |kind, count| format!("{count} {kind}"))
}

/// Shares of endpoints, by their names.
fn shares(endpoints: &BTreeMap<String, u64>) -> String {
    let all: u64 = endpoints.values().sum();
    listed(endpoints, ENDPOINTS_MAX, |name, count| {
        // Names come from a server.
        let name = name.chars().take(NAME_CHARS_MAX);
        let name: String = name
            .map(|c| if c.is_control() { '\u{fffd}' } else { c })
            .collect();
        format!("{name} {:.0} %", 100.0 * count as f64 / all.max(1) as f64)
    })
}

fn listed(
    counts: &BTreeMap<String, u64>,
    most: usize,
    shown: impl Fn(&str, u64) -> String,
) -> String {
    let mut sorted: Vec<(&String, &u64)> = counts.iter().collect();
    if sorted.len() > most {
        sorted.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    }
    let more = sorted.len().saturating_sub(most);
    sorted.truncate(most);
    let mut parts: Vec<String> = sorted
        .iter()
        .map(|(name, count)| shown(name, **count))
        .collect();
    if more > 0 {
        parts.push(format!("{more} more"));
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use poolproof_records::load::Spread;

    fn snapshot(requests: u64) -> Snapshot {
        let mut ttfts = Spread::default();
        (0..requests).for_each(|_| ttfts.record(20_000));
        let endpoints = (0..10).map(|number| (format!("pod-{number}\u{1b}[2J"), requests));
        Snapshot {
            started: requests + 8,
            answered: requests,
            failed: 3,
            ttft: (requests, 20_000 * requests),
            output_tokens: 100 * requests,
            failures: [("cut".to_owned(), 1), ("status-503".to_owned(), 2)].into(),
            endpoints: endpoints.collect(),
            ttfts,
        }
    }

    fn live() -> Live {
        Live {
            terminal: true,
            ..Live::new(&Progress::new(), "steady-chat", Some(60.0))
        }
    }

    #[test]
    fn rates_are_those_of_the_last_seconds_and_counts_those_of_the_run() {
        let mut live = live();
        live.last.push_back((Duration::from_secs(7), snapshot(100)));
        let now = snapshot(300);
        let view = live.view(&now, Duration::from_secs(12));
        assert_eq!(
            view.line(),
            "steady-chat: 12 of 60 s, 48 s left: 40.0 req/s, 4000 tokens/s, 5 in flight, 3 failed \
             (1 cut, 2 status-503), TTFT p50 20.1 ms, p95 20.1 ms"
        );
        let lines = view.lines();
        assert_eq!(lines[0], "steady-chat: 12 of 60 s, 48 s left");
        assert!(lines[1].ends_with("300 answered, 3 failed"), "{lines:?}");
        assert!(lines[2].ends_with("in the last 5 s"), "{lines:?}");
        assert_eq!(lines[3], "  failed: 1 cut, 2 status-503");
        assert!(lines[4].contains("pod-0\u{fffd}[2J 10 %") && lines[4].ends_with(", 2 more"));
        assert!(!lines.concat().contains('\u{1b}'));
        let late = live.view(&now, Duration::from_secs(61));
        assert_eq!(late.time(), "60 s are over, 5 answers are awaited");
    }

    #[test]
    fn only_the_snapshots_of_the_span_are_kept() {
        let mut live = live();
        live.began = Instant::now().checked_sub(Duration::from_secs(100));
        live.last = (80..=99)
            .map(|second| (Duration::from_secs(second), Snapshot::default()))
            .collect();
        live.show(&snapshot(1));
        let kept: Vec<u64> = live.last.iter().map(|(at, _)| at.as_secs()).collect();
        assert_eq!(kept, [95, 96, 97, 98, 99, 100]);
    }

    #[test]
    fn a_run_without_an_answer_has_no_figures_of_answers() {
        let live = Live::new(&Progress::new(), "24.0 req/s", None);
        let now = Snapshot::default();
        let view = live.view(&now, Duration::from_secs(1));
        assert_eq!(
            view.line(),
            "24.0 req/s: 1 s: 0.0 req/s, 0 tokens/s, 0 in flight, 0 failed, TTFT p50 -, p95 -"
        );
        assert_eq!(view.lines().len(), 3);
    }
}
