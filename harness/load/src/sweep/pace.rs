//! What a server did within the counted time of a step, by the windows of its run. Responses that ended later do not count: an overloaded
//! server answers all requests in the end, but not at the rate at which they were due.

use poolproof_records::load::over_time::Window;

/// What was seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pace {
    /// Responses per second.
    pub(super) answered_per_s: f64,
    /// Requests in flight, the mean.
    pub(super) in_flight: f64,
    /// Requests in flight, the highest mean of a window.
    pub(super) in_flight_max: f64,
}

/// The shortest time that shows a rate, in seconds.
const SPAN_MIN_S: f64 = 0.9;
/// Offsets are whole milliseconds, up to rounding.
const ROUNDING_S: f64 = 1e-6;

impl Pace {
    /// The pace of the windows that lie within these offsets, in seconds from the start of the run. `None` if they are too few.
    pub(super) fn of(windows: &[Window], (from_s, to_s): (f64, f64)) -> Option<Self> {
        let within = windows.iter().filter(|window| {
            let end_s = window.at_s + window.length_s;
            window.at_s >= from_s - ROUNDING_S && end_s <= to_s + ROUNDING_S
        });
        let span_s: f64 = within.clone().map(|window| window.length_s).sum();
        if span_s < SPAN_MIN_S {
            return None;
        }
        let answered: u64 = within.clone().map(|window| window.answered).sum();
        let in_flight_s: f64 = within
            .clone()
            .map(|window| window.in_flight * window.length_s)
            .sum();
        let in_flight = within.map(|window| window.in_flight);
        Some(Self {
            answered_per_s: answered as f64 / span_s,
            in_flight: in_flight_s / span_s,
            in_flight_max: in_flight.fold(0.0, f64::max),
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_answers_within_the_counted_time_count() {
        // 10 arrive per second and 5 are answered; all the rest is answered after the end, in the last window.
        let windows: Vec<Window> = (0..8_u32)
            .map(|s| Window {
                at_s: f64::from(s),
                length_s: 1.0,
                answered: if s < 7 { 5 } else { 30 },
                in_flight: 5.0 * f64::from(s),
                ..Window::default()
            })
            .collect();
        let pace = Pace::of(&windows, (1.5, 6.0)).unwrap();
        let wanted = Pace {
            answered_per_s: 5.0,
            in_flight: 17.5,
            in_flight_max: 25.0,
        };
        assert_eq!(pace, wanted);
        assert_eq!(Pace::of(&windows, (1.5, 2.5)), None);
        assert_eq!(Pace::of(&[], (0.0, 9.0)), None);
    }
}
