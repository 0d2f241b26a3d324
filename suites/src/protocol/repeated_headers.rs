//! A header that is given more than once arrives as often, both ways.

use anyhow::{Context as _, Result};
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::{Decision, Effort};
use poolproof_cases::expect::{self, Found};
use poolproof_cases::need::{EndpointLogs, Find};
use poolproof_client::{Exchange, Request};
use poolproof_model::verdict::{Findings, Outcome};

use super::arrivals::Arrivals;
use crate::mix::Kind;
use crate::none;
use crate::ways::{self, Clients};

pub(super) const CASE: Case = Case {
    id: "protocol/repeated-headers",
    requirement: "A request header that is given two or three times reaches the endpoint with all values in their order, in several fields or \
                  in one list; those of an answer reach the client likewise, and each set-cookie as a field of its own.",
    level: Level::Must,
    source: "RFC 9110, section 5.3: a proxy must not change the order of field values, and does not combine set-cookie; RFC 6265, section 3",
    needs: &[EndpointLogs::NEED],
    alpha_parts: 0,
    plan: |_, rates| {
        let plan = none::plan(none::SHARE, rates)?;
        let requests = plan.n as usize + ways::VERSIONS_REQUESTS;
        let effort = Effort::requests(requests).in_flight(IN_FLIGHT);
        Ok(effort.decides([Decision::Fixed(plan.clone()), Decision::Fixed(plan)]))
    },
    run: |ctx| Box::pin(repeated_headers(ctx)),
};

const IN_FLIGHT: usize = 16;
const TOKENS: u32 = 2;
/// Requests of each kind, with two values and with three, before the HTTP version changes.
const EACH_VERSION: usize = 2 * Kind::ALL.len();

/// Request headers, with the values of their fields. Both are lists, so that their fields may be combined.
const SENT: [(&str, [&str; 3]); 2] = [
    ("x-poolproof-repeated", ["first", "second", "third"]),
    ("accept-language", ["de", "en;q=0.7", "fr;q=0.3"]),
];
/// The headers that endpoints repeat when a request directs it.
const COOKIE: &str = "set-cookie";
const LIST: &str = "x-poolproof-repeated";

/// How often the headers of a request are given.
fn times(number: usize) -> usize {
    2 + number / Kind::ALL.len() % 2
}

async fn repeated_headers(ctx: &Context) -> Result<Outcome> {
    let plan = none::plan(none::SHARE, &ctx.rates)?;
    let models = &ctx.target.models;
    let first = models.first().context("a model")?;
    let clients = Clients::of(ctx, first).await?;
    let mut rng = ctx.rng("prompts");
    let requests = (0..plan.n as usize).map(|number| {
        let kind = Kind::ALL[number % Kind::ALL.len()];
        let model = &models[number / EACH_VERSION % models.len()];
        let request = kind.full_request(ctx, model, TOKENS, &mut rng);
        let directive = format!("repeated-headers-{}", times(number));
        repeated(ways::directed(request, &directive), times(number))
    });
    let requests: Vec<Request> = requests.collect();
    let exchanges = clients.send(IN_FLIGHT, EACH_VERSION, requests).await;
    let arrivals = Arrivals::read(ctx, clients.all()).await?;
    let arrivals = arrivals.context("control urls of the endpoints")?;

    let mut findings = Findings::default();
    let (mut lost, mut lost_in_answers) = (0, 0);
    for (number, exchange) in exchanges.iter().enumerate() {
        let times = times(number);
        let kind = Kind::ALL[number % Kind::ALL.len()].in_words();
        let what = format!("{kind} with headers given {times} times");
        let mut found = vec![expect::success(&what, exchange)];
        let arrived = arrivals.of(&exchange.id);
        let count = arrived.len();
        found.push(expect::that(
            count > 0,
            &what,
            "an arrival at an endpoint",
            count,
        ));
        for (endpoint, received) in arrived {
            for (name, values) in SENT {
                let fields = received.headers.iter().filter(|(own, _)| own == name);
                let arrived: Vec<&str> = fields.map(|(_, value)| value.as_str()).collect();
                let what = format!("{what}: {name} at {endpoint}");
                found.push(in_order(&what, &values[..times], &arrived));
            }
        }
        lost += u64::from(found.iter().any(Result::is_err));
        let answered = judge_answer(&format!("the answer to {what}"), times, exchange);
        lost_in_answers += u64::from(answered.iter().any(Result::is_err));
        for found in found.into_iter().chain(answered) {
            findings.add(found);
        }
    }
    let n = exchanges.len() as u64;
    findings.add_statistic(plan.decide("share of requests with a value lost", lost, n));
    findings.add_statistic(plan.decide("share of answers with a value lost", lost_in_answers, n));
    Ok(findings.outcome(format!(
        "{n} requests of all kinds {}: all values of repeated headers arrived in order, both ways",
        clients.in_words()
    )))
}

/// The request with each header given so often.
fn repeated(request: Request, times: usize) -> Request {
    let fields = SENT
        .iter()
        .flat_map(|(name, values)| values[..times].iter().map(move |value| (name, value)));
    fields.fold(request, |request, (name, value)| {
        request.header(name, value)
    })
}

/// Expects the values of a list, in one field or several.
fn in_order(what: &str, sent: &[&str], arrived: &[&str]) -> Found {
    let values = arrived.iter().flat_map(|field| field.split(','));
    let values: Vec<&str> = values.map(str::trim).collect();
    expect::that(values == sent, what, sent.join(", "), arrived.join(" | "))
}

/// What is wrong with the repeated headers of an answer of 200.
fn judge_answer(what: &str, times: usize, exchange: &Exchange) -> Vec<Found> {
    if exchange.status != Some(200) {
        return Vec::new();
    }
    let fields = |name: &str| -> Vec<&str> {
        let fields = exchange.headers.get_all(name).into_iter();
        fields.filter_map(|field| field.to_str().ok()).collect()
    };
    let list: Vec<String> = (1..=times).map(|place| format!("value-{place}")).collect();
    let list: Vec<&str> = list.iter().map(String::as_str).collect();
    // Others may set cookies of their own, such as a balancer for its sessions.
    let mut cookies = fields(COOKIE);
    cookies.retain(|cookie| cookie.contains("poolproof-"));
    let wanted: Vec<String> = (1..=times)
        .map(|place| format!("poolproof-{place}=v; Expires=Fri, 31 Dec 2100 23:59:59 GMT"))
        .collect();
    let what_cookies = format!("{what}: {COOKIE}");
    vec![
        expect::that(
            cookies == wanted,
            &what_cookies,
            wanted.join(" | "),
            cookies.join(" | "),
        ),
        in_order(&format!("{what}: {LIST}"), &list, &fields(LIST)),
    ]
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use poolproof_client::Ending;

    use super::*;
    use crate::made;

    #[test]
    fn a_list_may_be_combined_and_may_lose_or_swap_nothing() {
        let sent = ["a", "b"];
        for same in [&["a", "b"][..], &["a,b"], &["a", "b "]] {
            assert!(in_order("", &sent, same).is_ok(), "{same:?}");
        }
        for other in [&["b", "a"][..], &["b"], &["a"], &[], &["a", "b", "b"]] {
            assert!(in_order("", &sent, other).is_err(), "{other:?}");
        }
    }

    #[test]
    fn each_cookie_is_a_field_of_its_own() {
        let cookie =
            |place: usize| format!("poolproof-{place}=v; Expires=Fri, 31 Dec 2100 23:59:59 GMT");
        let answer = |cookies: &[String]| {
            let mut exchange = made::exchange("x", Some(200), Ending::Complete);
            for value in cookies {
                exchange.headers.append(COOKIE, value.parse().unwrap());
            }
            exchange
                .headers
                .append(LIST, "value-1, value-2".parse().unwrap());
            exchange
        };
        let wrong = |cookies: &[String]| {
            let found = judge_answer("", 2, &answer(cookies));
            found.iter().filter(|found| found.is_err()).count()
        };
        assert_eq!(
            wrong(&[cookie(1), "of-a-balancer=1".to_owned(), cookie(2)]),
            0
        );
        assert_eq!(wrong(&[cookie(1)]), 1);
        assert_eq!(wrong(&[format!("{}, {}", cookie(1), cookie(2))]), 1);
    }
}
