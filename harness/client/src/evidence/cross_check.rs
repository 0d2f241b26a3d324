//! Compares responses with the counters of endpoint pickers and endpoints.
//!
//! A difference with a single explanation is a finding about the gateway. A difference with several explanations makes
//! the measurement doubtful.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::Value;

use super::{endpoint, epp, served};
use crate::Exchange;
use poolproof_model::target::Pool;
use poolproof_model::verdict::Mismatch;

/// How long counters must agree with the responses: a second run of a request may begin after its response.
const SETTLED: Duration = Duration::from_millis(200);
/// How long counters must remain unchanged before a difference is attributed to the gateway and not to another client.
const QUIET: Duration = Duration::from_secs(1);
const READ_AGAIN: Duration = Duration::from_millis(10);

/// Counters of pickers and endpoints, at one time or over an interval.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counters {
    /// Picks by endpoint, by the pool of the picker, for pools whose picker exports them.
    picks: BTreeMap<String, BTreeMap<String, u64>>,
    /// Requests that pickers refused or found no endpoint for, by pool.
    refused: BTreeMap<String, u64>,
    /// Served requests by endpoint, for endpoints that export them.
    served: BTreeMap<String, u64>,
    /// Prompt tokens by endpoint, for endpoints that export them.
    prompt_tokens: BTreeMap<String, u64>,
}

impl Counters {
    /// Reads the counters of these pools.
    pub async fn read<'a>(
        http: &reqwest::Client,
        pools: impl Iterator<Item = &'a Pool>,
    ) -> Result<Self> {
        let mut counters = Self::default();
        for pool in pools {
            if let Some(reading) = epp::read(http, pool)
                .await?
                .filter(|reading| reading.is_picker)
            {
                let refused = reading.refused_total + reading.failed_total;
                counters.refused.insert(pool.name.clone(), refused);
                let names = pool
                    .endpoints
                    .iter()
                    .map(|endpoint| (endpoint.name.clone(), 0));
                let mut picks: BTreeMap<String, u64> = names.collect();
                picks.extend(reading.picks);
                counters.picks.insert(pool.name.clone(), picks);
            }
            for endpoint in pool
                .endpoints
                .iter()
                .filter(|endpoint| endpoint.url.is_some())
            {
                let reading = endpoint::read(http, endpoint).await?;
                if reading.counts_served {
                    let served = reading.served_total as u64;
                    counters.served.insert(endpoint.name.clone(), served);
                }
                if let Some(tokens) = reading.prompt_tokens_total {
                    let name = endpoint.name.clone();
                    counters.prompt_tokens.insert(name, tokens as u64);
                }
            }
        }
        Ok(counters)
    }

    /// The change since `earlier`. Fails with the name of a counter that decreased, as after the restart of a process.
    pub fn since(&self, earlier: &Self) -> Result<Self, String> {
        let mut picks = BTreeMap::new();
        for (pool, now) in &self.picks {
            let none = BTreeMap::new();
            let then = earlier.picks.get(pool).unwrap_or(&none);
            let of = format!("picks of the endpoint picker of pool {pool}");
            picks.insert(pool.clone(), difference(&of, now, then)?);
        }
        Ok(Self {
            picks,
            refused: difference(
                "refusals of endpoint pickers",
                &self.refused,
                &earlier.refused,
            )?,
            served: difference("requests served", &self.served, &earlier.served)?,
            prompt_tokens: difference(
                "prompt tokens",
                &self.prompt_tokens,
                &earlier.prompt_tokens,
            )?,
        })
    }

    /// Requests seen by the picker of each pool: picks and refusals.
    pub fn seen_by_pickers(&self) -> BTreeMap<&str, u64> {
        let seen = self.picks.iter().map(|(pool, picks)| {
            let refused = self.refused.get(pool).copied().unwrap_or(0);
            (pool.as_str(), picks.values().sum::<u64>() + refused)
        });
        seen.collect()
    }

    /// Requests served by an endpoint, if it exports them.
    pub fn served_by(&self, endpoint: &str) -> Option<u64> {
        self.served.get(endpoint).copied()
    }

    /// Prompt tokens read by an endpoint, if it exports them.
    pub fn prompt_tokens_of(&self, endpoint: &str) -> Option<u64> {
        self.prompt_tokens.get(endpoint).copied()
    }
}

fn difference(
    of: &str,
    now: &BTreeMap<String, u64>,
    then: &BTreeMap<String, u64>,
) -> Result<BTreeMap<String, u64>, String> {
    for (name, before) in then {
        if now.get(name).is_none_or(|count| count < before) {
            return Err(format!(
                "{of}: the counter of {name} decreased from {before}"
            ));
        }
    }
    let since = |(name, count): (&String, &u64)| {
        let before = then.get(name).copied().unwrap_or(0);
        (name.clone(), count - before)
    };
    Ok(now.iter().map(since).collect())
}

/// The responses of a sample, counted.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    /// Responses by the endpoint that they identify.
    named: BTreeMap<String, u64>,
    /// How many of them are successes.
    served: BTreeMap<String, u64>,
    /// Successes that identify no endpoint.
    unnamed: u64,
    /// All others. Any part of the stack may have seen their requests.
    lost: u64,
}

impl Answers {
    /// Counts these exchanges.
    pub fn of<'a>(exchanges: impl Iterator<Item = &'a Exchange>) -> Self {
        let mut answers = Self::default();
        for exchange in exchanges {
            match (served::endpoint_of(exchange), exchange.is_success()) {
                (Some(endpoint), success) => {
                    *answers.named.entry(endpoint.to_owned()).or_default() += 1;
                    if success {
                        *answers.served.entry(endpoint.to_owned()).or_default() += 1;
                    }
                }
                (None, true) => answers.unnamed += 1,
                (None, false) => answers.lost += 1,
            }
        }
        answers
    }

    fn unserved(&self) -> u64 {
        self.named.values().sum::<u64>() - self.served.values().sum::<u64>()
    }
}

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

/// Compares counters with responses. `quiet` means that the counters no longer change.
fn compare(pools: &[&Pool], counted: &Counters, answers: &Answers, quiet: bool) -> Agreement {
    let (mut found, mut doubts) = (Vec::new(), Vec::new());
    compare_picks(pools, counted, answers, quiet, &mut found, &mut doubts);
    let ran_twice = compare_served(pools, counted, answers, quiet, &mut found, &mut doubts);
    if ran_twice {
        // A request that runs twice may also be picked twice.
        found.retain(|disagreement| disagreement.kind != Kind::PickUnused);
    }
    if !found.is_empty() {
        return Agreement::Explained(found);
    }
    if !doubts.is_empty() {
        return Agreement::Doubtful(format!("evidence disagrees: {}", doubts.join("; ")));
    }
    Agreement::Agrees(Agreed {
        sources: sources(pools, counted),
        unnamed: unnamed(pools, counted, answers),
    })
}

fn of_pool(pool: &Pool, counts: &BTreeMap<String, u64>) -> u64 {
    let endpoints = pool.endpoints.iter();
    endpoints
        .filter_map(|endpoint| counts.get(&endpoint.name))
        .sum()
}

fn compare_picks(
    pools: &[&Pool],
    counted: &Counters,
    answers: &Answers,
    quiet: bool,
    found: &mut Vec<Disagreement>,
    doubts: &mut Vec<String>,
) {
    let covered: Vec<(&Pool, &BTreeMap<String, u64>)> = pools
        .iter()
        .filter_map(|pool| Some((*pool, counted.picks.get(&pool.name)?)))
        .collect();
    let unknown = covered.iter().find_map(|(pool, picks)| {
        let mut picked = picks.iter().filter(|(_, count)| **count > 0);
        let known = |name: &str| pool.endpoints.iter().any(|endpoint| endpoint.name == name);
        picked.find(|(name, _)| !known(name))
    });
    if let Some((name, _)) = unknown {
        doubts.push(format!(
            "a picker picked {name}, which is no endpoint of its pool"
        ));
        return;
    }
    let (mut excess, mut deficit, mut words) = (0, 0, Vec::new());
    for (pool, picks) in &covered {
        let (picked, answered) = (picks.values().sum::<u64>(), of_pool(pool, &answers.named));
        excess += picked.saturating_sub(answered);
        deficit += answered.saturating_sub(picked);
        if picked != answered {
            words.push(format!(
                "the endpoint picker of pool {} picked for {picked} requests, its pool answered {answered}",
                pool.name
            ));
        }
    }
    let words = words.join("; ");
    let slack = answers.unnamed + answers.lost;
    if deficit > excess {
        doubts.push(format!("answers without a pick: {words}"));
    } else if deficit > 0 {
        found.push(Disagreement::new(
            Kind::AnotherPicker,
            "the endpoint picker that was asked",
            "that of the pool which answers",
            format!("that of another pool: {words}"),
        ));
    }
    let unused = (excess.saturating_sub(deficit)).saturating_sub(slack);
    if unused > 0 && quiet {
        found.push(Disagreement::new(
            Kind::PickUnused,
            "picks that led to no answer",
            0,
            format!("{unused}: {words}"),
        ));
    } else if unused > 0 {
        doubts.push(format!(
            "picks for other clients, or without an answer: {words}"
        ));
    }
    if deficit == 0 && covered.len() == pools.len() && excess < answers.unnamed {
        doubts.push(format!(
            "answers that name no endpoint, without a pick: {words}"
        ));
    }
    let elsewhere = covered.iter().flat_map(|(_, picks)| picks.iter());
    let elsewhere = elsewhere.filter_map(|(name, picked)| {
        let answered = answers.named.get(name).copied().unwrap_or(0);
        (answered > *picked).then(|| {
            format!("{name} was picked {picked} times and named itself in {answered} answers")
        })
    });
    let elsewhere: Vec<String> = elsewhere.collect();
    if deficit == 0 && !elsewhere.is_empty() {
        found.push(Disagreement::new(
            Kind::PickNotFollowed,
            "the endpoint of a request",
            "the one that was picked",
            elsewhere.join("; "),
        ));
    }
}

/// Compares the served requests with the responses, to detect requests that ran twice.
fn compare_served(
    pools: &[&Pool],
    counted: &Counters,
    answers: &Answers,
    quiet: bool,
    found: &mut Vec<Disagreement>,
    doubts: &mut Vec<String>,
) -> bool {
    let (mut excess, mut complete) = (0, true);
    for endpoint in pools.iter().flat_map(|pool| &pool.endpoints) {
        let Some(served) = counted.served_by(&endpoint.name) else {
            complete = false;
            continue;
        };
        let answered = answers.served.get(&endpoint.name).copied().unwrap_or(0);
        excess += served.saturating_sub(answered);
        if answered > served {
            doubts.push(format!(
                "{} named itself in {answered} answers, but counted {served} requests served",
                endpoint.name
            ));
        }
    }
    let slack = answers.unnamed + answers.lost + answers.unserved();
    let again = excess.saturating_sub(slack);
    if !doubts.is_empty() {
        return false;
    }
    if again > 0 && quiet {
        found.push(Disagreement::new(
            Kind::RanTwice,
            "requests that endpoints served beyond one for each answer",
            0,
            again,
        ));
        return true;
    }
    if again > 0 {
        doubts.push(format!(
            "endpoints served {again} more requests than were answered, and still serve others"
        ));
    }
    if complete && excess < answers.unnamed {
        found.push(Disagreement::new(
            Kind::ServedByNobody,
            "answers of 200 that no endpoint served",
            0,
            answers.unnamed - excess,
        ));
    }
    false
}

/// The pools of the responses without an endpoint, from the first source that covers all pools.
fn unnamed(
    pools: &[&Pool],
    counted: &Counters,
    answers: &Answers,
) -> Option<BTreeMap<String, u64>> {
    let mut endpoints = pools.iter().flat_map(|pool| &pool.endpoints);
    let all_serve = endpoints.all(|endpoint| counted.served.contains_key(&endpoint.name));
    let all_pick = pools
        .iter()
        .all(|pool| counted.picks.contains_key(&pool.name));
    let by_pool = |count: &dyn Fn(&Pool) -> u64| {
        let pools = pools.iter().map(|pool| (pool.name.clone(), count(pool)));
        pools.collect()
    };
    if all_serve {
        let left = |pool: &Pool| {
            let answered = of_pool(pool, &answers.served);
            of_pool(pool, &counted.served).saturating_sub(answered)
        };
        return Some(by_pool(&left));
    }
    all_pick.then(|| {
        by_pool(&|pool: &Pool| {
            let picks = counted.picks.get(&pool.name);
            let picked: u64 = picks.map_or(0, |picks| picks.values().sum());
            picked.saturating_sub(of_pool(pool, &answers.named))
        })
    })
}

fn sources(pools: &[&Pool], counted: &Counters) -> String {
    let part = |some: usize, all: usize, what: &str| {
        if some == all {
            format!(", agreeing with the {what}' counters")
        } else {
            format!(", agreeing with the counters of {some} of {all} {what}")
        }
    };
    let mut text = "who served it: a header of the answers".to_owned();
    if !counted.picks.is_empty() {
        text += &part(counted.picks.len(), pools.len(), "endpoint pickers");
    }
    if !counted.served.is_empty() {
        let endpoints = pools.iter().map(|pool| pool.endpoints.len()).sum();
        text += &part(counted.served.len(), endpoints, "endpoints");
    }
    text
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
            prefix_affinity: None,
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
