//! Exchanges that tests make up.

use std::time::{Duration, Instant};

use poolproof_harness::client::{Ending, Exchange};
use poolproof_harness::evidence::served;

/// A request that took 250 ms, and by whom it was served.
#[allow(clippy::unwrap_used)]
pub(crate) fn exchange(served_by: &str, status: Option<u16>, ending: Ending) -> Exchange {
    let now = Instant::now();
    let mut exchange = Exchange {
        id: String::new(),
        intended_at: now,
        sent_at: now,
        head_at: None,
        first_byte_at: None,
        ended_at: now + Duration::from_millis(250),
        status,
        headers: Default::default(),
        body: Vec::new(),
        frames: Vec::new(),
        ending,
    };
    let name = served::SERVED_BY_HEADER;
    exchange.headers.insert(name, served_by.parse().unwrap());
    exchange
}
