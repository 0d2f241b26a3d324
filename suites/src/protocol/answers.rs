//! What a client may get for a request that not every gateway routes: the endpoint's own answer, or a clean refusal.

use poolproof_cases::context::Context;
use poolproof_cases::expect::{self, Found};
use poolproof_client::evidence::served;
use poolproof_client::{Ending, Exchange};
use poolproof_model::target::Model;
use serde_json::Value;

/// Which of the allowed answers came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// The endpoint's own status.
    Own,
    /// A refusal by the gateway.
    Refusal,
    /// An answer by the gateway itself, or one that it made of an endpoint's.
    Other,
}

/// Expects the endpoint's own status or a clean refusal, and never an endpoint of another model.
pub(super) fn own_or_refused(
    ctx: &Context,
    what: &str,
    through: &Exchange,
    own: &Exchange,
    model: &Model,
) -> (Vec<Found>, Came) {
    let mut found = Vec::new();
    if let Some(endpoint) = served::endpoint_of(through) {
        let pool = ctx.target.pool_of(endpoint);
        // An endpoint that is in no pool of the target is another gateway's name for one.
        let is_own =
            pool.is_none_or(|pool| model.weighted_pools().any(|own| own.name == pool.name));
        let pool = pool.map_or("no pool", |pool| pool.name.as_str());
        let expected = format!("an endpoint of {}", model.name);
        found.push(expect::that(
            is_own,
            what,
            expected,
            format!("{endpoint} of {pool}"),
        ));
    }
    let is_whole = through.ending == Ending::Complete;
    let status = through.status.unwrap_or(0);
    let expected = || {
        let own = own.describe();
        format!("the endpoint's own answer ({own}), or a 4xx")
    };
    let came = if is_whole && through.status == own.status {
        Came::Own
    } else if is_whole && (400..500).contains(&status) {
        let latest = ctx.timeouts.prompt_answer;
        let took = through.latency();
        let within = format!("a refusal within {latest:?}");
        found.push(expect::that(
            took <= latest,
            what,
            within,
            format!("{status} after {took:?}"),
        ));
        let broken = broken_json(through);
        found.push(expect::that(
            !broken,
            what,
            "JSON as its type says",
            through.describe(),
        ));
        Came::Refusal
    } else {
        // A gateway may translate an API that its endpoints do not have.
        let is_made = is_whole && status == 200 && served::endpoint_of(through).is_some();
        found.push(expect::that(is_made, what, expected(), through.describe()));
        Came::Other
    };
    (found, came)
}

/// Whether a body is not the JSON that its type says it is.
pub(super) fn broken_json(exchange: &Exchange) -> bool {
    let kind = exchange.header("content-type").unwrap_or_default();
    kind.starts_with("application/json") && serde_json::from_slice::<Value>(&exchange.body).is_err()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::made;

    fn judge(through: &Exchange, own: &Exchange) -> (bool, Came) {
        let ctx = made::context();
        let model = &ctx.target.models[0];
        let (found, came) = own_or_refused(&ctx, "a", through, own, model);
        (found.iter().all(Result::is_ok), came)
    }

    fn answer(by: &str, status: u16) -> Exchange {
        let mut exchange = made::exchange(by, Some(status), Ending::Complete);
        exchange.served_by = (!by.is_empty()).then(|| by.to_owned());
        exchange
    }

    #[test]
    fn the_own_status_a_refusal_and_a_translation_are_allowed() {
        assert_eq!(
            judge(&answer("", 404), &answer("x", 404)),
            (true, Came::Own)
        );
        assert_eq!(
            judge(&answer("", 400), &answer("x", 200)),
            (true, Came::Refusal)
        );
        assert_eq!(
            judge(&answer("x", 200), &answer("x", 404)),
            (true, Came::Other)
        );
    }

    #[test]
    fn another_pool_a_5xx_broken_json_and_an_end_too_early_are_not() {
        let ctx = made::context();
        let other = &ctx.target.models[1].pools[0].endpoints[0].name;
        assert!(!judge(&answer(other, 200), &answer("x", 200)).0);
        assert!(!judge(&answer("", 500), &answer("x", 200)).0);
        assert!(!judge(&answer("", 200), &answer("x", 404)).0);
        let mut broken = answer("", 400);
        broken
            .headers
            .insert("content-type", "application/json".parse().unwrap());
        broken.body = b"{".to_vec();
        assert!(!judge(&broken, &answer("x", 200)).0);
        let cut = made::exchange("x", Some(200), Ending::Cut("reset".into()));
        assert!(!judge(&cut, &answer("x", 200)).0);
    }
}
