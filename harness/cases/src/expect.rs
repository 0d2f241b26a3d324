//! Verifiers of exchanges. Each returns a mismatch with expected and actual values.

use std::ops::RangeInclusive;

use serde_json::{Value, json};

use poolproof_client::evidence::served;
use poolproof_client::{Ending, Exchange};
use poolproof_model::target::{Model, Target};
use poolproof_model::verdict::Mismatch;

/// The result of a verifier.
pub type Found = Result<(), Mismatch>;

/// `Ok` if `holds`, else a mismatch.
pub fn that(
    holds: bool,
    what: &str,
    expected: impl Into<Value>,
    actual: impl Into<Value>,
) -> Found {
    if holds {
        Ok(())
    } else {
        Err(Mismatch {
            what: what.to_owned(),
            expected: expected.into(),
            actual: actual.into(),
        })
    }
}

/// Expects a complete response with this status.
pub fn status(what: &str, exchange: &Exchange, wanted: u16) -> Found {
    statuses(what, exchange, wanted..=wanted)
}

/// Expects a complete response with a status in this range.
pub fn statuses(what: &str, exchange: &Exchange, wanted: RangeInclusive<u16>) -> Found {
    let expected = if wanted.start() == wanted.end() {
        json!(wanted.start())
    } else {
        json!(format!("{} to {}", wanted.start(), wanted.end()))
    };
    let ok = exchange
        .status
        .is_some_and(|status| wanted.contains(&status))
        && exchange.ending == Ending::Complete;
    that(ok, what, expected, exchange.describe())
}

/// Expects a complete 200. A stream must be good by [`Exchange::answered`].
pub fn success(what: &str, exchange: &Exchange) -> Found {
    let expected = if exchange.is_event_stream() {
        "200 and a whole stream"
    } else {
        "200"
    };
    that(exchange.is_success(), what, expected, exchange.describe())
}

/// Expects a response by an endpoint in one of the model's pools with a weight.
pub fn served_by(what: &str, exchange: &Exchange, target: &Target, model: &Model) -> Found {
    let pool = served::pool_of(target, exchange);
    let ok = pool.is_some_and(|pool| model.weighted_pools().any(|own| own.name == pool.name));
    let own: Vec<&str> = model
        .weighted_pools()
        .map(|pool| pool.name.as_str())
        .collect();
    let actual = match (pool, served::endpoint_of(exchange)) {
        (Some(pool), _) => format!("pool {}", pool.name),
        (None, Some(endpoint)) => format!("endpoint {endpoint}, in no pool of the target"),
        (None, None) => format!("an answer that names no endpoint: {}", exchange.describe()),
    };
    that(ok, what, format!("pool {}", own.join(" or ")), actual)
}

/// Expects a response without traces of an endpoint or an endpoint picker.
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
