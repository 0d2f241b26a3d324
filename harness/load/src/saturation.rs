//! Whether a server gets more than it can serve: in an open loop, requests then pile up for as long as the run goes on.

use std::collections::VecDeque;

use anyhow::{Result, ensure};

use poolproof_model::workload::Workload;

/// Requests in flight, second by second.
#[derive(Clone, Debug, Default)]
pub struct Saturation(VecDeque<u64>);

/// Seconds over which requests must have piled up.
const SPAN: usize = 10;
/// How many times as many must be in flight at the end of them as at their beginning.
const GROWTH: u64 = 2;
/// Fewer than these in flight are no pile.
const IN_FLIGHT_MIN: u64 = 50;

/// Fails for a workload in which requests cannot pile up.
pub fn check(workload: &Workload) -> Result<()> {
    ensure!(
        workload.arrival.users().is_none(),
        "`arrival.process` must be an open loop; in a closed loop requests cannot pile up"
    );
    Ok(())
}

impl Saturation {
    /// Takes the number of requests in flight, once a second: whether they have piled up without a break.
    pub fn watch(&mut self, in_flight: u64) -> bool {
        self.0.push_back(in_flight);
        if self.0.len() > SPAN + 1 {
            self.0.pop_front();
        }
        let first = self.0.front().copied().unwrap_or(0);
        let pairs = self.0.iter().zip(self.0.iter().skip(1));
        self.0.len() == SPAN + 1
            && in_flight >= IN_FLIGHT_MIN.max(GROWTH * first)
            && pairs.clone().all(|(before, after)| after > before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saturated(in_flight: impl IntoIterator<Item = u64>) -> Option<usize> {
        let mut saturation = Saturation::default();
        in_flight.into_iter().position(|n| saturation.watch(n))
    }

    #[test]
    fn a_pile_that_grows_without_a_break_is_told_after_ten_seconds() {
        assert_eq!(saturated((0..60).map(|second| second * 40)), Some(10));
    }

    #[test]
    fn a_server_that_keeps_up_or_catches_up_is_not_saturated() {
        assert_eq!(
            saturated((0..600).map(|second| 200 + (second * 37) % 90)),
            None
        );
        assert_eq!(saturated((0..600).map(|second| (second % 9) * 400)), None);
        // A server that warms up: more and more in flight, but ever less so.
        assert_eq!(
            saturated((0..600).map(|second| 400 + 10 * second.min(30))),
            None
        );
    }
}
