//! Whether the answers of a model come from its own pools: by the endpoint that they name, or by counters where they name
//! none.

use anyhow::Result;
use poolproof_cases::context::Context;
use poolproof_cases::expect;
use poolproof_client::Exchange;
use poolproof_client::evidence::cross_check::{Agreement, Answers, CrossCheck};
use poolproof_client::evidence::served;
use poolproof_model::target::Model;
use poolproof_model::verdict::Findings;

/// The answers of one model.
pub(super) struct OwnPools<'a> {
    ctx: &'a Context,
    model: &'a Model,
    check: CrossCheck<'a>,
    exchanges: Vec<Exchange>,
}

/// How many answers are known to come from the model's own pools.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Known {
    /// Answers whose pool is known.
    pub(super) known: usize,
    /// All answers.
    pub(super) all: usize,
}

impl Known {
    /// Adds those of another model.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            known: self.known + other.known,
            all: self.all + other.all,
        }
    }

    /// For a summary.
    pub(super) fn in_words(self) -> String {
        if self.known == self.all {
            format!("{} answers, each served by its own model's pool", self.all)
        } else {
            format!(
                "{} of {} answers served by their own model's pool, the pool of the others is not known",
                self.known, self.all
            )
        }
    }
}

impl<'a> OwnPools<'a> {
    /// Notes the counters of all pools before requests for a model.
    pub(super) async fn start(ctx: &'a Context, model: &'a Model) -> Result<Self> {
        Ok(Self {
            ctx,
            model,
            check: CrossCheck::start(&ctx.http, ctx.target.pools()).await?,
            exchanges: Vec::new(),
        })
    }

    /// Adds an answer: a success, by an endpoint of the model's if it names one.
    pub(super) fn add(&mut self, what: &str, exchange: Exchange, findings: &mut Findings) {
        findings.add(expect::success(what, &exchange));
        if served::endpoint_of(&exchange).is_some() {
            let (target, model) = (&self.ctx.target, self.model);
            findings.add(expect::served_by(what, &exchange, target, model));
        }
        self.exchanges.push(exchange);
    }

    /// Compares the counters. A doubt about them is returned in place of what is known.
    pub(super) async fn finish(self, findings: &mut Findings) -> Result<Result<Known, String>> {
        let ctx = self.ctx;
        let answers = Answers::of(self.exchanges.iter());
        let check = self
            .check
            .finish(&ctx.http, &answers, ctx.timeouts.counters);
        let all = self.exchanges.len();
        let is_unnamed = |it: &&Exchange| it.is_success() && served::endpoint_of(it).is_none();
        let unnamed = self.exchanges.iter().filter(is_unnamed).count();
        let named = Known {
            known: all - unnamed,
            all,
        };
        match check.await? {
            Agreement::Agrees(agreed) => {
                findings.note(format!("{}: {}", self.model.name, agreed.sources));
                let Some(pools) = agreed.unnamed.filter(|_| unnamed > 0) else {
                    return Ok(Ok(named));
                };
                let own = |name: &str| self.model.weighted_pools().any(|it| it.name == name);
                let foreign = pools.iter().filter(|(name, n)| **n > 0 && !own(name));
                let foreign: Vec<String> = foreign.map(|(name, n)| format!("{name} {n}")).collect();
                findings.add(expect::that(
                    foreign.is_empty(),
                    &format!(
                        "{}: {unnamed} answers that name no endpoint",
                        self.model.name
                    ),
                    "counted by the model's own pools",
                    foreign.join(", "),
                ));
                findings.note(format!(
                    "{}: {unnamed} answers name no endpoint; their pool is known by counters",
                    self.model.name
                ));
                Ok(Ok(Known { known: all, all }))
            }
            Agreement::Explained(found) => {
                for disagreement in found {
                    findings.add(Err(disagreement.mismatch));
                }
                Ok(Ok(named))
            }
            Agreement::Doubtful(doubt) => Ok(Err(doubt)),
        }
    }
}
