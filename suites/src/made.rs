//! Exchanges that tests make up.

use std::time::{Duration, Instant};

use poolproof_harness::client::{Ending, Exchange};

/// A request that took 250 ms, and by whom it was served.
pub(crate) fn exchange(served_by: &str, status: Option<u16>, ending: Ending) -> Exchange {
    let now = Instant::now();
    Exchange {
        id: String::new(),
        intended_at: now,
        sent_at: now,
        head_at: None,
        first_byte_at: None,
        ended_at: now + Duration::from_millis(250),
        status,
        headers: Default::default(),
        served_by: Some(served_by.to_owned()),
        body: Vec::new(),
        frames: Vec::new(),
        ending,
    }
}
