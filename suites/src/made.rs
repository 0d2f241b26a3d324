//! Exchanges that tests make up.

use std::time::{Duration, Instant};

use poolproof_cases::budget::Rates;
use poolproof_cases::context::{Context, Timeouts};
use poolproof_client::sse::Frame;
use poolproof_client::{Ending, Exchange};
use poolproof_model::target::Target;
use poolproof_model::topology::Topology;

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
        version: None,
        headers: Default::default(),
        served_by: Some(served_by.to_owned()),
        body: Vec::new(),
        frames: Vec::new(),
        tokens: None,
        ending,
        kept: Default::default(),
    }
}

/// A complete answer with this body.
pub(crate) fn answer(status: u16, body: &str) -> Exchange {
    let mut exchange = exchange("a", Some(status), Ending::Complete);
    exchange.body = body.as_bytes().to_vec();
    exchange
}

/// A stream of these events that came to its end.
#[allow(clippy::unwrap_used)]
pub(crate) fn stream(events: impl IntoIterator<Item = String>) -> Exchange {
    let mut exchange = exchange("a", Some(200), Ending::Complete);
    let kind = "text/event-stream".parse().unwrap();
    exchange.headers.insert("content-type", kind);
    let at = exchange.sent_at;
    let name = String::new();
    let frames = events.into_iter().map(|data| Frame {
        at,
        name: name.clone(),
        data,
    });
    exchange.frames = frames.collect();
    exchange
}

/// The context of a case that sends nothing.
#[allow(clippy::unwrap_used)]
pub(crate) fn context() -> Context {
    let target = Target::planned(&Topology::default()).unwrap();
    let rates = Rates {
        alpha: 1e-4,
        power: 0.99,
        split_tolerance: 0.03,
        slow_answer: Duration::from_secs(20),
    };
    Context::new(target.into(), Timeouts::default(), 1, rates, "a/case", 0).unwrap()
}
