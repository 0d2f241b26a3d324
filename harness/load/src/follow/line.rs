//! The figures of one server over time. Its memory is bounded, whatever the server reports.

use std::collections::BTreeMap;
use std::time::Instant;

use poolproof_client::evidence::figures::{Key, Reading, Value};
use poolproof_records::load::over_time::{Server, ServerSeries, Unread};

/// The most points of a figure. A run has about as many readings as windows.
const POINTS_MAX: usize = 4096;
/// The most figures of a server, counting each device.
const FIGURES_MAX: usize = 512;
/// The longest reason that is kept, in characters.
const REASON_CHARS_MAX: usize = 300;

/// The figures of one server so far.
#[derive(Debug)]
pub(super) struct Line {
    server: Server,
    points: BTreeMap<Key, Points>,
    readings: u64,
    failed: u64,
    reason: Option<String>,
    /// Readings in which a counter was lower than in the one before.
    went_back: u64,
}

/// A server that restarts has its counters go back once. From as many times on, several servers answer at one address.
const WENT_BACK_MAX: u64 = 3;

#[derive(Debug, Default)]
struct Points {
    /// The counters of the reading before.
    before: Option<(Instant, Value)>,
    points: Vec<(Instant, f64)>,
}

impl Line {
    pub(super) fn new(server: Server) -> Self {
        Self {
            server,
            points: BTreeMap::new(),
            readings: 0,
            failed: 0,
            reason: None,
            went_back: 0,
        }
    }

    /// Adds the figures that were read at a moment.
    pub(super) fn add(&mut self, at: Instant, reading: &Reading) {
        self.readings += 1;
        let mut went_back = false;
        for (key, value) in &reading.0 {
            if self.points.len() < FIGURES_MAX || self.points.contains_key(key) {
                went_back |= self.points.entry(key.clone()).or_default().add(at, *value);
            }
        }
        self.went_back += u64::from(went_back);
    }

    /// Whether no figure was read.
    pub(super) fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    /// Whether all readings can be those of one server that ran all the time.
    pub(super) fn is_steady(&self) -> bool {
        self.went_back == 0
    }

    /// Counts a reading that failed.
    pub(super) fn failed(&mut self, error: &anyhow::Error) {
        self.readings += 1;
        self.fail(format!("{error:#}"));
    }

    fn fail(&mut self, reason: String) {
        self.failed += 1;
        self.reason
            .get_or_insert_with(|| reason.chars().take(REASON_CHARS_MAX).collect());
    }

    /// All figures by offsets from `start`, and what could not be read.
    pub(super) fn finish(mut self, start: Instant) -> (Vec<ServerSeries>, Option<Unread>) {
        if self.went_back >= WENT_BACK_MAX {
            self.failed = self.readings;
            self.reason = Some(format!(
                "its counters went back {} times, as if several servers answered there: name each of them",
                self.went_back
            ));
            self.points.clear();
        } else if self.points.is_empty() && self.reason.is_none() && self.readings > 0 {
            self.failed = self.readings;
            self.reason = Some("its page has none of the known figures".to_owned());
        }
        let series = self.points.into_iter().map(|((metric, device), points)| {
            let from_start = |(at, value): (Instant, f64)| {
                let at = at.checked_duration_since(start)?;
                // To the millisecond: a reading takes longer.
                Some((at.as_millis() as f64 / 1000.0, value))
            };
            ServerSeries {
                server: self.server.clone(),
                device,
                metric,
                unit: metric.unit(),
                points: points.points.into_iter().filter_map(from_start).collect(),
            }
        });
        let series = series.filter(|series| !series.points.is_empty()).collect();
        let unread = self.reason.map(|reason| Unread {
            server: self.server.clone(),
            failed: self.failed,
            of: self.readings,
            reason,
        });
        (series, unread)
    }
}

impl Points {
    /// Adds a value. Returns whether a counter went back, of which no rate is known.
    fn add(&mut self, at: Instant, value: Value) -> bool {
        let before = self.before.replace((at, value));
        let before = before.map(|(before_at, before)| (at - before_at, before));
        let (point, went_back) = match (value, before) {
            (Value::Gauge(value), _) => (Some(value), false),
            (Value::Counter(count), Some((since, Value::Counter(before)))) => {
                let (grown, since_s) = (count - before, since.as_secs_f64());
                let is_rate = since_s > 0.0 && grown >= 0.0;
                (is_rate.then(|| grown / since_s), grown < 0.0)
            }
            (Value::Share(part, whole), Some((_, Value::Share(part_before, whole_before)))) => {
                let (part, whole) = (part - part_before, whole - whole_before);
                let went_back = part < 0.0 || whole < 0.0;
                let is_share = whole > 0.0 && !went_back;
                (is_share.then(|| part / whole), went_back)
            }
            _ => (None, false),
        };
        let point = point.filter(|_| self.points.len() < POINTS_MAX);
        self.points.extend(point.map(|value| (at, value)));
        went_back
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::*;
    use poolproof_client::evidence::figures::parse;
    use poolproof_model::server_metric::{ServerMetric, Unit};

    #[test]
    fn gauges_are_values_and_counters_are_rates_since_the_reading_before() {
        let page = |waiting: u32, tokens: u32, hits: u32| {
            format!(
                "vllm:num_requests_waiting {waiting}\nvllm:generation_tokens_total {tokens}\n\
                 vllm:prefix_cache_hits_total {hits}\nvllm:prefix_cache_queries_total {}\n",
                2 * hits + tokens
            )
        };
        let start = Instant::now();
        let mut line = Line::new(Server::Picker {
            pool: "p".to_owned(),
        });
        // The third reading comes late, and before the last one the server starts anew.
        for (at_ms, page) in [
            (0, page(1, 1000, 0)),
            (1000, page(2, 1100, 50)),
            (3000, page(3, 1100, 50)),
            (4000, page(0, 40, 30)),
        ] {
            line.add(start + Duration::from_millis(at_ms), &parse(&page));
        }
        let (series, unread) = line.finish(start + Duration::from_millis(500));
        assert_eq!(unread, None);
        let points = |metric| {
            let mut of = series.iter().filter(|it| it.metric == metric);
            of.next().unwrap().points.clone()
        };
        let waiting = points(ServerMetric::Queue);
        assert_eq!(waiting, [(0.5, 2.0), (2.5, 3.0), (3.5, 0.0)]);
        let tokens = points(ServerMetric::OutputTokens);
        assert_eq!(tokens, [(0.5, 100.0), (2.5, 0.0)]);
        // Nothing was looked up between the second and the third reading.
        let hits = points(ServerMetric::PrefixHits);
        assert_eq!(hits, [(0.5, 0.25)]);
        let of_tokens = series
            .iter()
            .find(|it| it.metric == ServerMetric::OutputTokens);
        assert_eq!(of_tokens.unwrap().unit, Unit::TokensPerSecond);
    }

    #[test]
    fn a_failure_is_noted_once_and_a_server_without_figures_as_such() {
        let mut line = Line::new(Server::Picker {
            pool: "p".to_owned(),
        });
        let now = Instant::now();
        line.add(now, &parse("vllm:num_requests_waiting 1"));
        line.failed(&anyhow::anyhow!("{}", "refused ".repeat(100)));
        line.add(now, &parse("<html>"));
        let (series, unread) = line.finish(now);
        let unread = unread.unwrap();
        assert_eq!((series.len(), unread.failed, unread.of), (1, 1, 3));
        assert!(unread.reason.starts_with("refused") && unread.reason.len() <= REASON_CHARS_MAX);
        let mut line = Line::new(Server::Picker {
            pool: "p".to_owned(),
        });
        line.add(now, &parse("<html>"));
        let (_, unread) = line.finish(now);
        assert!(unread.unwrap().reason.contains("none of the known figures"));
    }

    #[test]
    fn an_address_of_several_servers_has_no_figures() {
        let start = Instant::now();
        let mut line = Line::new(Server::Picker {
            pool: "p".to_owned(),
        });
        for second in 0..10 {
            let served = 100 * (second % 3) + second;
            let page = format!("tgi_queue_size 1\ntgi_request_success {served}\n");
            line.add(start + Duration::from_secs(second), &parse(&page));
        }
        assert!(!line.is_steady());
        let (series, unread) = line.finish(start);
        assert!(series.is_empty());
        assert!(unread.unwrap().reason.contains("went back 3 times"));
    }

    #[test]
    fn a_server_that_invents_figures_does_not_fill_the_memory() {
        let mut line = Line::new(Server::Picker {
            pool: "p".to_owned(),
        });
        let start = Instant::now();
        for second in 0..6000 {
            let page = format!("DCGM_FI_DEV_GPU_UTIL{{gpu=\"{second}\"}} 1\ntgi_queue_size 1\n");
            line.add(start + Duration::from_secs(second), &parse(&page));
        }
        assert!(line.points.len() <= FIGURES_MAX);
        let most = line.points.values().map(|it| it.points.len()).max();
        assert_eq!(most, Some(POINTS_MAX));
    }
}
