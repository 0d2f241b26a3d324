//! Compares counters with responses.

use std::collections::BTreeMap;

use super::{Agreed, Agreement, Answers, Counters, Disagreement, Kind};
use poolproof_model::target::Pool;

/// Compares counters with responses. `quiet` means that the counters no longer change.
pub(super) fn compare(
    pools: &[&Pool],
    counted: &Counters,
    answers: &Answers,
    quiet: bool,
) -> Agreement {
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
