//! Prompts with a common prefix stay together while the pool is idle, and prefixes spread over its endpoints.

use std::collections::BTreeMap;

use anyhow::Result;
use futures_util::future::join_all;
use poolproof_cases::budget::Rates;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::{Decision, Effort};
use poolproof_cases::expect;
use poolproof_cases::need::{EndpointNames, Find, PrefixAffinity};
use poolproof_client::evidence::served;
use poolproof_client::prompt::Texts;
use poolproof_client::{Api, Client, Connections, Exchange, Request, drive, nonce};
use poolproof_model::target::{Pool, Target};
use poolproof_model::verdict::{Findings, Outcome};
use poolproof_stats::binomial::{Plan, Question};
use rand::RngExt;
use serde_json::json;

pub(super) const CASE: Case = Case {
    id: "affinity/prefix",
    requirement: "While a pool is idle, four of five prompts with a common prefix of 2 KiB go to the endpoint of the first of them, \
                  and prefixes spread over all endpoints: each gets at least half of an equal share of them.",
    level: Level::Must,
    source: "GIE v1.5.0, prefix-cache-scorer, in the default configuration with weight 3 beside queue 2 and KV cache 2: \
             P/scheduling/scorer/prefix",
    needs: &[PrefixAffinity::NEED, EndpointNames::NEED],
    alpha_parts: 1,
    plan: |target, rates| {
        let plans = Plans::new(target, rates)?;
        let n = plans.groups.n as usize + plans.turns_each() * FOLLOWED;
        let endpoints = PrefixAffinity::find(target)?.1.endpoints.len();
        let mut decisions = vec![Decision::Fixed(plans.turns.clone())];
        decisions.extend(vec![Decision::Fixed(plans.groups); endpoints]);
        Ok(Effort::requests(n)
            .tokens(n * TOKENS_EACH)
            .in_flight(2)
            .decides(decisions))
    },
    run: |ctx| Box::pin(prefix(ctx)),
};

/// Groups of which more prompts are sent.
const FOLLOWED: usize = 8;
/// The words of a common prefix, of five bytes each: 2 KiB.
const PREFIX_WORDS: u32 = 410;
/// The words of its own of each prompt.
const OWN_WORDS: u32 = 12;
/// Of a request and its answer, about.
const TOKENS_EACH: usize = PREFIX_WORDS as usize + OWN_WORDS as usize + 1;
/// The least share of turns at the first endpoint of their group.
const TOGETHER: f64 = 0.8;
/// How far from an equal share a picker that ignores prefixes may be.
const MARGIN: f64 = 0.2;

/// The samples.
struct Plans {
    /// Turns of groups after the first.
    turns: Plan,
    /// Groups, for each endpoint.
    groups: Plan,
}

impl Plans {
    fn new(target: &Target, rates: &Rates) -> Result<Self> {
        let (_, pool) = PrefixAffinity::find(target)?;
        let endpoints = pool.endpoints.len() as f64;
        let turns = Question::AtLeast {
            null: TOGETHER,
            bad: 1.0 / endpoints + MARGIN.min(TOGETHER / 2.0 - 0.5 / endpoints),
        };
        // As `distribution/idle` judges single requests.
        let groups = Question::AtLeast {
            null: 0.5 / endpoints,
            bad: 0.05 / endpoints,
        };
        Ok(Self {
            turns: Plan::new(turns, rates.alpha / 2.0, rates.power)?,
            groups: Plan::new(groups, rates.alpha / 2.0 / endpoints, rates.power)?,
        })
    }

    /// The turns of each followed group after its first.
    fn turns_each(&self) -> usize {
        (self.turns.n as usize).div_ceil(FOLLOWED)
    }
}

/// Prompts with a common prefix.
struct Group {
    api: Api,
    stream: bool,
    prefix: String,
    /// What its prompts end with, the first one's first.
    own: Vec<String>,
}

impl Group {
    fn request(&self, ctx: &Context, model: &str, turn: usize) -> Request {
        let own = self.own[turn].as_str();
        let body = match self.api {
            Api::Completions => json!({
                "model": model, "prompt": format!("{}{own}", self.prefix),
                "max_tokens": 1, "ignore_eos": true, "stream": self.stream,
            }),
            _ => json!({
                "model": model, "max_tokens": 1, "ignore_eos": true, "stream": self.stream,
                "messages": [
                    {"role": "system", "content": self.prefix},
                    {"role": "user", "content": own},
                ],
            }),
        };
        Request::from_json(self.api, &body).timeout(ctx.timeouts.request)
    }
}

async fn prefix(ctx: &Context) -> Result<Outcome> {
    let (model, pool) = PrefixAffinity::find(&ctx.target)?;
    let plans = Plans::new(&ctx.target, &ctx.rates)?;
    let turns = plans.turns_each();
    let groups = groups(ctx, plans.groups.n as usize, turns);
    let client = ctx.client(Connections::KeepAlive)?;
    let mut findings = Findings::default();

    // One at a time: an idle pool has no reason to prefer any endpoint.
    let first: Vec<Request> = groups
        .iter()
        .map(|group| group.request(ctx, &model.name, 0))
        .collect();
    let first = drive::closed_loop(&client, 1, first.into_iter()).await;
    for exchange in &first {
        findings.add(expect::success("the first prompt of a group", exchange));
    }
    let by_endpoint = served::by_endpoint(first.iter());
    spread(
        &plans.groups,
        pool,
        &by_endpoint,
        first.len() as u64,
        &mut findings,
    );

    // A turn follows the answer to the one before; groups do not wait for one another.
    let followed = groups.iter().zip(&first).take(FOLLOWED);
    let conversations =
        followed.map(|(group, first)| converse(ctx, &client, &model.name, group, first));
    let (mut together, mut all) = (0, 0);
    for later in join_all(conversations).await {
        for (exchange, is_together) in later {
            findings.add(expect::success("a later prompt of a group", &exchange));
            together += u64::from(is_together);
            all += 1;
        }
    }
    let of = "share of later prompts at the endpoint of their group's first";
    findings.add_statistic(plans.turns.decide(of, together, all));
    Ok(findings.outcome(format!(
        "{together} of {all} later prompts at the endpoint of their group's first; groups: {}",
        served::in_words(&by_endpoint)
    )))
}

/// Judges how many groups each endpoint got.
fn spread(
    plan: &Plan,
    pool: &Pool,
    by_endpoint: &BTreeMap<String, u64>,
    groups: u64,
    findings: &mut Findings,
) {
    for endpoint in &pool.endpoints {
        let got = by_endpoint.get(&endpoint.name).copied().unwrap_or(0);
        let of = format!("share of prefixes at {}", endpoint.name);
        findings.add_statistic(plan.decide(of, got, groups));
    }
}

/// Sends the prompts of a group after its first. Each comes with whether it went to the endpoint of the first.
async fn converse(
    ctx: &Context,
    client: &Client,
    model: &str,
    group: &Group,
    first: &Exchange,
) -> Vec<(Exchange, bool)> {
    let home = served::endpoint_of(first);
    let mut later = Vec::new();
    for turn in 1..group.own.len() {
        let exchange = client.send(group.request(ctx, model, turn)).await;
        let is_together = home.is_some() && served::endpoint_of(&exchange) == home;
        later.push((exchange, is_together));
    }
    later
}

/// Groups of every API, streamed and not.
fn groups(ctx: &Context, n: usize, turns: usize) -> Vec<Group> {
    let mut rng = ctx.rng("groups");
    let texts = Texts::new(rng.random(), None);
    let mut text = |words: u32| {
        let mut text = Vec::new();
        texts.append(&mut text, rng.random(), words);
        // Words are ASCII.
        let text = String::from_utf8(text).unwrap_or_default();
        (nonce(&mut rng), text)
    };
    let kinds = [
        (Api::Completions, false),
        (Api::Chat, true),
        (Api::Completions, true),
        (Api::Chat, false),
    ];
    let groups = kinds.into_iter().cycle().take(n).enumerate();
    groups
        .map(|(number, (api, stream))| {
            let (nonce, words) = text(PREFIX_WORDS);
            let prompts = if number < FOLLOWED { 1 + turns } else { 1 };
            let own = (0..prompts).map(|_| text(OWN_WORDS).1);
            Group {
                api,
                stream,
                prefix: format!("{nonce}{words}"),
                own: own.collect(),
            }
        })
        .collect()
}
