//! A name of a model that is replaced by others, by weight, and stays the name for the client.

use anyhow::Result;
use futures_util::future::try_join_all;
use poolproof_cases::budget::Rates;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::{Decision, Effort};
use poolproof_cases::expect::{self, Found};
use poolproof_cases::need::{Find, Rewritten};
use poolproof_client::evidence::control;
use poolproof_client::{Connections, Exchange, Request, drive};
use poolproof_model::verdict::{Findings, Outcome};
use poolproof_stats::binomial::{Plan, Question};
use serde_json::Value;

use crate::mix::{Kind, Shares};
use crate::ways::directed;

pub(super) const CASE: Case = Case {
    id: "canary/rewrite",
    requirement: "Requests for a name that is rewritten are split over the names that are served in its place, by their weights, and every \
                  answer, each frame of a stream too, has the name that was asked for.",
    level: Level::Should,
    source: "GIE v1.5.0, apix/v1alpha2, InferenceModelRewrite; pkg/epp/handlers/server.go: it puts the name back into answers",
    needs: &[Rewritten::NEED],
    alpha_parts: 1,
    plan: |target, rates| {
        let (_, _, targets) = Rewritten::find(target)?;
        let plans = Plans::new(targets.values(), rates)?;
        let effort = Effort::requests(plans.requests()).in_flight(IN_FLIGHT);
        Ok(effort.decides(plans.decisions()))
    },
    run: |ctx| Box::pin(rewrite(ctx)),
};

const IN_FLIGHT: usize = 16;
const TOKENS: u32 = 2;
/// One in this many requests of each kind has an answer in many pieces.
const TORN_EVERY: usize = 4;
/// The deviation of the share of a served name that must be caught.
const DEVIATION: f64 = 0.06;

/// The tests of the share of the lightest of the served names.
struct Plans {
    /// Over all requests.
    whole: Plan,
    /// Of each kind: that it is split at all.
    kinds: Vec<Plan>,
}

impl Plans {
    fn new<'a>(weights: impl Iterator<Item = &'a u32> + Clone, rates: &Rates) -> Result<Self> {
        let total: f64 = weights.clone().map(|weight| f64::from(*weight)).sum();
        let least = weights.min().copied().unwrap_or(0);
        let null = f64::from(least) / total;
        let alpha = Shares::of(rates.alpha);
        let whole = Question::Equal {
            null,
            deviation: DEVIATION.min(null * 0.75),
        };
        let far_off = [
            Question::AtMost {
                null,
                bad: (null * 2.5).min((1.0 + null) / 2.0),
            },
            Question::AtLeast {
                null,
                bad: null / 10.0,
            },
        ];
        let of_kind = alpha.kind / far_off.len() as f64;
        let kinds = far_off.map(|question| Plan::new(question, of_kind, rates.power));
        Ok(Self {
            whole: Plan::new(whole, alpha.whole, rates.power)?,
            kinds: kinds.into_iter().collect::<Result<_>>()?,
        })
    }

    fn requests(&self) -> usize {
        let of_kinds = self
            .kinds
            .iter()
            .map(|plan| plan.n * Kind::ALL.len() as u64);
        of_kinds.fold(self.whole.n, u64::max) as usize
    }

    fn decisions(&self) -> Vec<Decision> {
        let kinds = Kind::ALL.iter().flat_map(|_| &self.kinds);
        let all = std::iter::once(&self.whole).chain(kinds);
        all.cloned().map(Decision::Fixed).collect()
    }
}

async fn rewrite(ctx: &Context) -> Result<Outcome> {
    let (model, asked, targets) = Rewritten::find(&ctx.target)?;
    let plans = Plans::new(targets.values(), &ctx.rates)?;
    let client = ctx.client(Connections::KeepAlive)?;
    let mut rng = ctx.rng("prompts");
    let kind = |number: usize| Kind::ALL[number % Kind::ALL.len()];
    let requests = (0..plans.requests()).map(|number| {
        let request = kind(number).request(asked, TOKENS, &mut rng);
        let request = request.timeout(ctx.timeouts.request);
        if number / Kind::ALL.len() % TORN_EVERY == 0 {
            directed(request, "tear")
        } else {
            request
        }
    });
    let requests: Vec<Request> = requests.collect();
    let exchanges = drive::closed_loop(&client, IN_FLIGHT, requests.into_iter()).await;

    let mut findings = Findings::default();
    for (number, exchange) in exchanges.iter().enumerate() {
        let what = format!("{} for {asked}", kind(number).in_words());
        findings.add(expect::success(&what, exchange));
        findings.add(named(&what, asked, exchange));
    }
    let endpoints = model.weighted_pools().flat_map(|pool| &pool.endpoints);
    let logs = endpoints.map(|endpoint| control::requests(&ctx.http, endpoint));
    let mut served = std::collections::HashMap::new();
    for logged in try_join_all(logs).await?.into_iter().flatten() {
        if let (Some(id), Some(name)) = (logged.id, logged.model)
            && id.starts_with(client.id_prefix())
        {
            served.insert(id, name);
        }
    }
    let served: Vec<Option<&String>> = exchanges.iter().map(|it| served.get(&it.id)).collect();
    for (number, name) in served.iter().enumerate() {
        let what = format!(
            "{} for {asked}: the name at the endpoint",
            kind(number).in_words()
        );
        let is_target = name.is_some_and(|name| targets.contains_key(name));
        let wanted = Vec::from_iter(targets.keys().map(String::as_str)).join(" or ");
        let found = name.map_or("no request", |name| name.as_str());
        findings.add(expect::that(is_target, &what, wanted, found));
    }
    let Some((least, weight)) = targets.iter().min_by_key(|(_, weight)| **weight) else {
        return Ok(Outcome::invalid("no name is served in place of the other"));
    };
    let of = format!("share of {least} (weight {weight}) in {asked}");
    let hits = |names: &mut dyn Iterator<Item = &Option<&String>>| {
        names.filter(|name| **name == Some(least)).count() as u64
    };
    let whole = hits(&mut served.iter().take(plans.whole.n as usize));
    findings.add_statistic(plans.whole.decide(&of, whole, plans.whole.n));
    for (place, kind) in Kind::ALL.iter().enumerate() {
        for plan in &plans.kinds {
            let own = served.iter().skip(place).step_by(Kind::ALL.len());
            let hits = hits(&mut own.take(plan.n as usize));
            let of = format!("{of}, {}", kind.in_words());
            findings.add_statistic(plan.decide(of, hits, plan.n));
        }
    }
    Ok(findings.outcome(format!(
        "{whole} of {} requests for {asked} ran as {least}, and all {} answers have the name {asked}",
        plans.whole.n,
        exchanges.len()
    )))
}

/// Expects the name that was asked for in an answer, in every frame that names a model.
fn named(what: &str, asked: &str, exchange: &Exchange) -> Found {
    let bodies = [String::from_utf8_lossy(&exchange.body).into_owned()];
    let frames = exchange.frames.iter().map(|frame| frame.data.clone());
    let parts: Vec<String> = if exchange.is_event_stream() {
        frames.collect()
    } else {
        bodies.into()
    };
    let parts = parts.iter().map(|part| serde_json::from_str::<Value>(part));
    let names: Vec<String> = parts
        .filter_map(|part| Some(part.ok()?.get("model")?.as_str()?.to_owned()))
        .collect();
    let other = names.iter().find(|name| *name != asked);
    let found = match (other, names.is_empty()) {
        (Some(other), _) => other.as_str(),
        (None, true) => "none",
        (None, false) => asked,
    };
    let what = format!("{what}: the model of the answer");
    expect::that(found == asked, &what, asked, found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::made;

    #[test]
    fn every_frame_has_the_name_that_was_asked_for() {
        let holds = |exchange: Exchange| named("", "asked", &exchange).is_ok();
        let frame = |name: &str| format!(r#"{{"model":"{name}","choices":[]}}"#);
        let stream = |names: [&str; 2]| {
            made::stream(names.map(frame).into_iter().chain(["[DONE]".to_owned()]))
        };
        assert!(holds(stream(["asked", "asked"])));
        assert!(!holds(stream(["asked", "served"])));
        assert!(holds(made::answer(200, &frame("asked"))));
        assert!(!holds(made::answer(200, &frame("served"))));
        assert!(!holds(made::answer(200, "{}")));
    }

    #[test]
    fn a_split_of_each_kind_is_far_off_where_it_is_even_or_missing() {
        let plans = Plans::new([90, 10].iter(), &made::context().rates);
        let plans = plans.map(|plans| plans.requests());
        assert!(plans.is_ok_and(|requests| requests < 2500));
    }
}
