//! Verifiers: what an exchange must look like. Each gives a mismatch that says expected and actual.

use std::ops::RangeInclusive;

use serde_json::{Value, json};

use poolproof_client::evidence::served;
use poolproof_client::{Ending, Exchange};
use poolproof_model::target::{Model, Target};
use poolproof_model::verdict::Mismatch;

/// What one look finds.
pub type Found = Result<(), Mismatch>;

/// Nothing wrong if `holds`.
pub fn that(
    holds: bool,
    what: &str,
    expected: impl Into<Value>,
    actual: impl Into<Value>,
) -> Found {
    match holds {
        true => Ok(()),
        false => Err(Mismatch {
            what: what.to_owned(),
            expected: expected.into(),
            actual: actual.into(),
        }),
    }
}

/// A complete answer with this status.
pub fn status(what: &str, exchange: &Exchange, wanted: u16) -> Found {
    statuses(what, exchange, wanted..=wanted)
}

/// A complete answer with one of these statuses.
pub fn statuses(what: &str, exchange: &Exchange, wanted: RangeInclusive<u16>) -> Found {
    let expected = match wanted.start() == wanted.end() {
        true => json!(wanted.start()),
        false => json!(format!("{} to {}", wanted.start(), wanted.end())),
    };
    let ok = exchange
        .status
        .is_some_and(|status| wanted.contains(&status))
        && exchange.ending == Ending::Complete;
    that(ok, what, expected, exchange.describe())
}

/// A complete 200; a stream must have ended with `[DONE]`.
pub fn success(what: &str, exchange: &Exchange) -> Found {
    let expected = match exchange.is_event_stream() {
        true => "200 and a stream that ends with [DONE]",
        false => "200",
    };
    that(exchange.is_success(), what, expected, exchange.describe())
}

/// An answer by an endpoint of one of the model's pools that have a weight.
pub fn served_by(what: &str, exchange: &Exchange, target: &Target, model: &Model) -> Found {
    let pool = served::pool_of(target, exchange);
    let ok = pool.is_some_and(|pool| model.weighted_pools().any(|own| own.name == pool.name));
    let own: Vec<&str> = model
        .weighted_pools()
        .map(|pool| pool.name.as_str())
        .collect();
    let actual = match (pool, served::endpoint_of(exchange)) {
        (Some(pool), _) => format!("pool {}", pool.name),
        (None, Some(endpoint)) => format!("endpoint {endpoint}, of no pool of the target"),
        (None, None) => format!("an answer that names no endpoint: {}", exchange.describe()),
    };
    that(ok, what, format!("pool {}", own.join(" or ")), actual)
}

/// An answer that neither an endpoint nor an endpoint picker left its mark on.
pub fn routed_nowhere(what: &str, exchange: &Exchange) -> Found {
    let endpoint = served::endpoint_of(exchange).map(|name| format!("endpoint {name} answered"));
    let epp = exchange
        .header(served::SEEN_BY_EPP_HEADER)
        .map(|_| "an endpoint picker saw the answer".to_owned());
    match endpoint.or(epp) {
        None => Ok(()),
        Some(actual) => that(false, what, "routed nowhere", actual),
    }
}
