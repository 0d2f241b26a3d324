//! What a server did within the window of a step, by the live counters. Responses that ended later do not count: an overloaded server
//! answers all requests in the end, but not at the rate at which they were due.

use poolproof_records::load::Snapshot;

/// The counters at times within a window.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    from_s: f64,
    to_s: f64,
    /// Each time with the responses until then and the requests in flight.
    seen: Vec<(f64, u64, u64)>,
}

/// What was seen in the window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Seen {
    /// Responses per second.
    pub(super) answered_per_s: f64,
    /// Requests in flight, the mean.
    pub(super) in_flight: f64,
    /// Requests in flight, the most.
    pub(super) in_flight_max: u64,
}

/// A tick may come this late, in seconds.
const TICK_LATE_S: f64 = 0.2;
/// The shortest time between two counters that shows a rate, in seconds.
const SPAN_MIN_S: f64 = 0.9;

impl Pace {
    /// Nothing was seen yet. Times are in seconds from the start of the run.
    pub(super) fn new(from_s: f64, to_s: f64) -> Self {
        Self {
            from_s,
            to_s,
            seen: Vec::new(),
        }
    }

    /// Takes the counters at a time.
    pub(super) fn see(&mut self, at_s: f64, now: &Snapshot) {
        if at_s >= self.from_s && at_s <= self.to_s + TICK_LATE_S {
            self.seen.push((at_s, now.answered, now.in_flight()));
        }
    }

    /// What was seen; `None` if the window was too short for two counters.
    pub(super) fn seen(&self) -> Option<Seen> {
        let ((from_s, before, _), (to_s, after, _)) = (self.seen.first()?, self.seen.last()?);
        let span_s = to_s - from_s;
        if span_s < SPAN_MIN_S {
            return None;
        }
        let in_flight = self.seen.iter().map(|(.., in_flight)| *in_flight);
        Some(Seen {
            answered_per_s: after.saturating_sub(*before) as f64 / span_s,
            in_flight: in_flight.clone().sum::<u64>() as f64 / self.seen.len() as f64,
            in_flight_max: in_flight.max().unwrap_or(0),
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_answers_within_the_window_count() {
        let mut pace = Pace::new(2.0, 6.0);
        // 10 arrive per second and 5 are answered; all the rest is answered after the end.
        for s in 0..=6_u64 {
            let now = Snapshot {
                started: 10 * s,
                answered: 5 * s,
                ..Snapshot::default()
            };
            pace.see(s as f64, &now);
        }
        let end = Snapshot {
            started: 60,
            answered: 60,
            ..Snapshot::default()
        };
        pace.see(12.0, &end);
        let seen = pace.seen().unwrap();
        assert!((seen.answered_per_s - 5.0).abs() < 1e-9, "{seen:?}");
        assert_eq!((seen.in_flight, seen.in_flight_max), (20.0, 30));
        assert_eq!(Pace::new(0.0, 1.0).seen(), None);
    }
}
