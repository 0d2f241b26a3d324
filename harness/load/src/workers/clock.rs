//! Clocks: how far that of a worker is from ours, so that all workers can begin at one moment.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The clock of this process: one reading of the wall clock, to which a monotonic one is added, so that it never jumps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    began: Instant,
    began_us: i64,
}

/// Readings of both clocks from which one is chosen.
const READINGS: usize = 8;

/// How far the clock of a worker is from ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Offset {
    /// Theirs less ours, in microseconds.
    pub(super) us: i64,
    /// By how much that may be wrong at most, in microseconds.
    pub(super) uncertainty_us: i64,
}

impl Clock {
    /// The clock as it is now.
    pub(super) fn new() -> Self {
        // A thread that is descheduled between two readings gets one of them too late: the closest of a few pairs is taken.
        let pairs = (0..READINGS).map(|_| {
            let (before, wall, after) = (Instant::now(), SystemTime::now(), Instant::now());
            (after - before, before, wall)
        });
        let (_, began, wall) = pairs.min_by_key(|(apart, ..)| *apart).unwrap_or((
            Duration::ZERO,
            Instant::now(),
            SystemTime::now(),
        ));
        let since = wall.duration_since(UNIX_EPOCH);
        Self {
            began,
            began_us: since.map_or(0, |since| since.as_micros() as i64),
        }
    }

    /// Microseconds since the Unix epoch.
    pub(super) fn now_us(&self) -> i64 {
        self.began_us + self.began.elapsed().as_micros() as i64
    }

    /// The moment of a time of [`Clock::now_us`]; one before this process began is its beginning.
    pub(super) fn moment(&self, us: i64) -> Instant {
        let since = us.saturating_sub(self.began_us).max(0);
        self.began + Duration::from_micros(since as u64)
    }
}

impl Offset {
    /// From when their clock was asked, what it said, and when that was here, in microseconds: it was read at some time between, so
    /// half the time between is how wrong its middle may be (Cristian 1989, "Probabilistic clock synchronization").
    pub(super) fn of(asked_us: i64, theirs_us: i64, heard_us: i64) -> Self {
        let took_us = heard_us - asked_us;
        Self {
            us: theirs_us - (asked_us + took_us / 2),
            // The halves are rounded, and so is their reading.
            uncertainty_us: took_us / 2 + 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_true_offset_is_within_the_uncertainty_wherever_the_time_went() {
        const TRUE_US: i64 = -123_456;
        for (there, back) in [(0, 900), (900, 0), (450, 450), (1, 0), (0, 0)] {
            let asked = 5_000_000;
            let offset = Offset::of(asked, asked + there + TRUE_US, asked + there + back);
            let wrong = (offset.us - TRUE_US).abs();
            assert!(wrong <= offset.uncertainty_us, "{offset:?}");
            assert!(offset.uncertainty_us <= (there + back) / 2 + 2);
        }
    }

    #[test]
    fn a_moment_is_as_far_ahead_as_its_time() {
        let clock = Clock::new();
        let moment = clock.moment(clock.now_us() + 2_000_000);
        let ahead = moment.saturating_duration_since(Instant::now());
        assert!(ahead <= Duration::from_secs(2) && ahead > Duration::from_secs(1));
        assert_eq!(clock.moment(0), clock.began);
    }
}
