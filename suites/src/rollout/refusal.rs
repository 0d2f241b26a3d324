//! The refusal of a request whose pool has no endpoint.

use poolproof_cases::expect::{self, Found};
use poolproof_client::{Ending, Exchange};

/// The statuses of such a refusal.
const STATUSES: [u16; 2] = [503, 429];
/// The header in which llm-d gives the reason.
const REASON_HEADER: &str = "x-llm-d-request-dropped-reason";

/// Expects a complete 503 or 429 with a reason: a body, or llm-d's header.
pub(super) fn expect(what: &str, exchange: &Exchange) -> Found {
    let refused = exchange.ending == Ending::Complete
        && exchange
            .status
            .is_some_and(|status| STATUSES.contains(&status));
    expect::that(refused, what, "503 or 429", exchange.describe())?;
    let has_reason =
        !exchange.body.trim_ascii().is_empty() || exchange.header(REASON_HEADER).is_some();
    expect::that(has_reason, what, "a reason", exchange.describe())?;
    expect::routed_nowhere(what, exchange)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str, ending: Ending) -> Exchange {
        let mut answer = crate::made::exchange("", Some(status), ending);
        answer.served_by = None;
        answer.body = body.as_bytes().to_vec();
        answer
    }

    #[test]
    fn a_refusal_is_complete_has_its_status_and_a_reason() {
        for (status, body, holds) in [
            (503, "no endpoint", true),
            (429, "no endpoint", true),
            (503, " \n", false),
            (500, "no endpoint", false),
            (200, "no endpoint", false),
        ] {
            let answer = answer(status, body, Ending::Complete);
            assert_eq!(expect("r", &answer).is_ok(), holds, "{status} {body:?}");
        }
        let cut = answer(503, "no endpoint", Ending::Cut("reset".to_owned()));
        assert!(expect("r", &cut).is_err());
        assert!(expect("r", &answer(503, "no endpoint", Ending::TimedOut)).is_err());
    }
}
