//! Compares responses with the counters of endpoint pickers and endpoints.
//!
//! A difference with a single explanation is a finding about the gateway. A difference with several explanations makes
//! the measurement doubtful.

mod answers;
mod compare;
mod counters;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::Value;

pub use answers::Answers;
pub use counters::Counters;

use compare::compare;
use poolproof_model::target::Pool;
use poolproof_model::verdict::Mismatch;

/// How long counters must agree with the responses: a second run of a request may begin after its response.
const SETTLED: Duration = Duration::from_millis(200);
/// How long counters must remain unchanged before a difference is attributed to the gateway and not to another client.
const QUIET: Duration = Duration::from_secs(1);
const READ_AGAIN: Duration = Duration::from_millis(10);

/// The result of a cross-check.
#[derive(Clone, Debug, PartialEq)]
pub enum Agreement {
    /// The counters agree with the responses, or there are no counters.
    Agrees(Agreed),
    /// They differ, and each difference has a single explanation.
    Explained(Vec<Disagreement>),
    /// They differ, and the cause is unknown.
    Doubtful(String),
}

/// The result if counters agree.
#[derive(Clone, Debug, PartialEq)]
pub struct Agreed {
    /// The compared sources, in words.
    pub sources: String,
    /// The number of responses without an endpoint by pool, where counters show it.
    pub unnamed: Option<BTreeMap<String, u64>>,
}

/// A deviation of a gateway from one pick, one run and one response per request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It called the endpoint picker of another pool.
    AnotherPicker,
    /// It sent the request to an endpoint of the pool other than the picked one.
    PickNotFollowed,
    /// It requested a pick that led to no response.
    PickUnused,
    /// It ran a request more than once.
    RanTwice,
    /// It answered in place of an endpoint.
    ServedByNobody,
}

/// A difference with a single explanation.
#[derive(Clone, Debug, PartialEq)]
pub struct Disagreement {
    /// The deviation.
    pub kind: Kind,
    /// The counts.
    pub mismatch: Mismatch,
}

impl Disagreement {
    fn new(kind: Kind, what: &str, expected: impl Into<Value>, actual: impl Into<Value>) -> Self {
        Self {
            kind,
            mismatch: Mismatch {
                what: what.to_owned(),
                expected: expected.into(),
                actual: actual.into(),
            },
        }
    }
}

/// A cross-check of one sample.
#[derive(Debug)]
pub struct CrossCheck<'a> {
    pools: Vec<&'a Pool>,
    before: Counters,
}

impl<'a> CrossCheck<'a> {
    /// Reads the counters before the sample.
    pub async fn start(
        http: &reqwest::Client,
        pools: impl Iterator<Item = &'a Pool>,
    ) -> Result<Self> {
        let pools: Vec<&Pool> = pools.collect();
        let before = Counters::read(http, pools.iter().copied()).await?;
        Ok(Self { pools, before })
    }

    /// Waits up to `timeout` until the counters agree with the responses for [`SETTLED`]. Returns the remaining
    /// differences and their causes.
    pub async fn finish(
        self,
        http: &reqwest::Client,
        answers: &Answers,
        timeout: Duration,
    ) -> Result<Agreement> {
        let deadline = Instant::now() + timeout;
        let (mut last, mut changed_at) = (Counters::default(), Instant::now());
        let mut agrees_since = None;
        loop {
            let now = Counters::read(http, self.pools.iter().copied()).await?;
            if now != last {
                changed_at = Instant::now();
                last = now;
            }
            let counted = match last.since(&self.before) {
                Ok(counted) => counted,
                Err(reset) => return Ok(Agreement::Doubtful(reset)),
            };
            let quiet = changed_at.elapsed() > QUIET;
            let found = compare(&self.pools, &counted, answers, quiet);
            if let Agreement::Agrees(_) = found {
                let since = *agrees_since.get_or_insert_with(Instant::now);
                if since.elapsed() > SETTLED {
                    return Ok(found);
                }
            } else {
                agrees_since = None;
                if Instant::now() > deadline {
                    return Ok(found);
                }
            }
            tokio::time::sleep(READ_AGAIN).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use poolproof_model::target::Endpoint;

    fn pool(name: &str) -> Pool {
        let endpoint = |number| Endpoint {
            name: format!("{name}-{number}"),
            url: None,
            control: None,
        };
        Pool {
            name: name.to_owned(),
            weight: 1,
            epp_metrics: None,
            flow_control: None,
            fair_flows: None,
            prefix_affinity: None,
            session_header: None,
            held_ttl_ms: None,
            max_in_flight: None,
            held_max: Default::default(),
            endpoints: [0, 1].map(endpoint).into(),
        }
    }

    fn counts(counts: &[(&str, u64)]) -> BTreeMap<String, u64> {
        let counts = counts.iter().map(|(name, n)| ((*name).to_owned(), *n));
        counts.collect()
    }

    /// Counters of the pools `s` and `c`, with all counts on the first endpoint.
    fn counted(picks: Option<[u64; 2]>, served: Option<[u64; 2]>) -> Counters {
        let pools = ["s", "c"];
        let picks = picks.into_iter().flat_map(|picks| {
            let of_pool = |(pool, n)| {
                let name = format!("{pool}-0");
                (String::from(pool), counts(&[(name.as_str(), n)]))
            };
            pools.into_iter().zip(picks).map(of_pool)
        });
        let served = served.map(|[s, c]| counts(&[("s-0", s), ("s-1", 0), ("c-0", c), ("c-1", 0)]));
        Counters {
            picks: picks.collect(),
            served: served.unwrap_or_default(),
            ..Counters::default()
        }
    }

    fn answers(named: [u64; 2], unnamed: u64, lost: u64) -> Answers {
        let named = counts(&[("s-0", named[0]), ("c-0", named[1])]);
        Answers {
            served: named.clone(),
            named,
            unnamed,
            lost,
        }
    }

    fn found(counted: &Counters, answers: &Answers, quiet: bool) -> Agreement {
        compare(&[&pool("s"), &pool("c")], counted, answers, quiet)
    }

    fn kinds(agreement: &Agreement) -> Vec<Kind> {
        let Agreement::Explained(found) = agreement else {
            return Vec::new();
        };
        found.iter().map(|disagreement| disagreement.kind).collect()
    }

    #[test]
    fn sources_name_only_what_was_compared() {
        let sources = |counted: &Counters, answers: &Answers| match found(counted, answers, true) {
            Agreement::Agrees(agreed) => agreed.sources,
            other => format!("{other:?}"),
        };
        let nine_one = answers([9, 1], 0, 0);
        let none = sources(&Counters::default(), &nine_one);
        assert!(!none.contains("agreeing"), "{none}");
        let both = sources(&counted(Some([9, 1]), Some([9, 1])), &nine_one);
        assert!(
            both.contains("endpoint pickers' counters") && both.contains("endpoints' counters")
        );
        let mut some = counted(None, Some([9, 1]));
        some.served.remove("c-1");
        let some = sources(&some, &nine_one);
        assert!(some.contains("the counters of 3 of 4 endpoints"), "{some}");
    }

    #[test]
    fn one_picker_for_two_pools_is_named() {
        let agreement = found(
            &counted(Some([0, 10]), Some([9, 1])),
            &answers([9, 1], 0, 0),
            true,
        );
        assert_eq!(kinds(&agreement), [Kind::AnotherPicker]);
        let Agreement::Explained(found) = agreement else {
            unreachable!("a picker is found")
        };
        let text = found[0].mismatch.to_string();
        assert!(
            text.contains("pool c picked for 10 requests, its pool answered 1"),
            "{text}"
        );
    }

    #[test]
    fn a_request_that_ran_twice_is_found_without_other_clients() {
        let twice = counted(Some([9, 1]), Some([10, 1]));
        let ten = answers([9, 1], 0, 0);
        assert_eq!(kinds(&found(&twice, &ten, true)), [Kind::RanTwice]);
        assert!(matches!(found(&twice, &ten, false), Agreement::Doubtful(_)));
        let picked_twice = counted(Some([10, 1]), Some([10, 1]));
        assert_eq!(kinds(&found(&picked_twice, &ten, true)), [Kind::RanTwice]);
        // A request without a response may have run.
        let lost = answers([9, 1], 0, 1);
        assert!(matches!(found(&twice, &lost, true), Agreement::Agrees(_)));
    }

    #[test]
    fn an_unused_pick_is_found() {
        let unused = counted(Some([10, 1]), Some([9, 1]));
        let ten = answers([9, 1], 0, 0);
        assert_eq!(kinds(&found(&unused, &ten, true)), [Kind::PickUnused]);
    }

    #[test]
    fn an_answer_by_another_endpoint_than_the_picked_one_is_found() {
        let mut elsewhere = counted(Some([9, 1]), Some([9, 1]));
        elsewhere
            .picks
            .insert("s".to_owned(), counts(&[("s-0", 4), ("s-1", 5)]));
        let ten = answers([9, 1], 0, 0);
        assert_eq!(
            kinds(&found(&elsewhere, &ten, true)),
            [Kind::PickNotFollowed]
        );
    }

    #[test]
    fn answers_without_a_pick_and_wrong_names_are_doubtful() {
        let ten = answers([9, 1], 0, 0);
        for counted in [counted(Some([8, 1]), None), counted(None, Some([8, 1]))] {
            assert!(matches!(
                found(&counted, &ten, true),
                Agreement::Doubtful(_)
            ));
        }
    }

    #[test]
    fn unnamed_answers_are_attributed_by_counters_or_served_by_no_endpoint() {
        let unnamed = answers([5, 1], 4, 0);
        let Agreement::Agrees(agreed) = found(&counted(None, Some([9, 1])), &unnamed, true) else {
            unreachable!("the counters agree")
        };
        assert_eq!(agreed.unnamed, Some(counts(&[("c", 0), ("s", 4)])));
        let by_gateway = found(&counted(None, Some([7, 1])), &unnamed, true);
        assert_eq!(kinds(&by_gateway), [Kind::ServedByNobody]);
        let Agreement::Agrees(agreed) = found(&Counters::default(), &unnamed, true) else {
            unreachable!("nothing is compared")
        };
        assert_eq!(agreed.unnamed, None);
    }

    #[test]
    fn a_counter_that_decreases_is_an_error() {
        let (before, after) = (counted(None, Some([9, 1])), counted(None, Some([2, 1])));
        assert!(after.since(&before).is_err());
        assert!(before.since(&after).is_ok());
        // The series is exported only after its first request.
        assert_eq!(before.since(&Counters::default()).as_ref(), Ok(&before));
    }
}
