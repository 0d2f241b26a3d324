//! Cases and suites: records that a run selects from, and what a case needs of its target.

use anyhow::Result;
use futures_util::future::BoxFuture;
use poolproof_fixtures::flaw::Flaw;
use serde::Serialize;

use crate::change::Kind;
use crate::context::{Context, Settings};
use crate::effort::Effort;
use crate::target::{Model, Pool, Target};
use crate::verdict::Outcome;

pub use crate::verdict::Level;

/// A group of cases about one promise.
#[derive(Debug)]
pub struct Suite {
    /// Its id: the folder of its cases.
    pub id: &'static str,
    /// The promise, in one line.
    pub promise: &'static str,
    /// Its cases, in the order in which they run.
    pub cases: &'static [Case],
}

/// One requirement and the function that judges it.
pub struct Case {
    /// `suite/case`: the path of its file, and what selects it.
    pub id: &'static str,
    /// The requirement, in one sentence.
    pub requirement: &'static str,
    /// How much it binds.
    pub level: Level,
    /// Where the requirement comes from: document and section.
    pub source: &'static str,
    /// What the target has to offer.
    pub needs: &'static [Need],
    /// What it sends to a target that has what it needs.
    pub plan: fn(&Target, &Settings) -> Result<Effort>,
    /// Judges the requirement.
    pub run: for<'a> fn(&'a Context) -> BoxFuture<'a, Result<Outcome>>,
}

impl Case {
    /// Whether it changes parts of the stack.
    pub fn changes(&self) -> bool {
        self.needs.iter().any(|it| matches!(it, Need::Change(_)))
    }
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.id)
    }
}

/// What a flaw does to cases: the counter-proof of those that it must fail. Any case in neither list must pass all the same.
#[derive(Debug)]
pub struct Catch {
    /// The flaw.
    pub flaw: Flaw,
    /// The ids of the cases that must fail while it is switched on.
    pub must_fail: &'static [&'static str],
    /// The others that need not pass, by id or by suite: they meet the flaw by chance, or cannot be measured beside it.
    pub may_fail: &'static [&'static str],
}

/// Something that a case needs of its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Need {
    /// Two models, so that a wrong route can be told from a right one.
    TwoModels,
    /// Answers that name their endpoint, and endpoints by name in every pool with a weight, so that an answer can be told to come from a
    /// pool.
    EndpointNames,
    /// A model whose requests are split over two or more pools with a weight.
    Canary,
    /// A pool of weight 0 beside others.
    WeightZeroPool,
    /// A model with one pool of two or more endpoints, with urls for ballast.
    PoolToLoad,
    /// A canary whose pools each have two or more endpoints, with urls for ballast.
    CanaryToLoad,
    /// A pool to load whose endpoints take faults.
    Faults,
    /// A pool to load whose endpoint picker queues by priority, and objectives above and below.
    HeldByPriority,
    /// A model all of whose pools shed when saturated, with urls for ballast, and objectives above and below.
    ShedByPriority,
    /// A model with LoRA adapters.
    Adapters,
    /// A limit on request bodies.
    BodyLimit,
    /// That parts of the stack can be changed so.
    Change(Kind),
}

impl Need {
    /// What this need is, in words.
    pub fn describe(self) -> &'static str {
        match self {
            Self::TwoModels => "two models",
            Self::EndpointNames => {
                "answers that name their endpoint (served_by_header), and the endpoints of every pool with a weight, by name"
            }
            Self::Canary => "a model with two or more pools with a weight",
            Self::WeightZeroPool => "a pool of weight 0 beside others",
            Self::PoolToLoad => "a model with one pool of two or more endpoints with urls",
            Self::CanaryToLoad => {
                "a model with two or more pools with a weight, each of two or more endpoints with urls"
            }
            Self::Faults => "a pool whose endpoints have control urls",
            Self::HeldByPriority => {
                "a pool with flow_control = true, endpoint urls, and objectives above and below priority 0"
            }
            Self::ShedByPriority => {
                "a model whose pools have flow_control = false, endpoint urls, and objectives above and below priority 0"
            }
            Self::Adapters => "a model with adapters",
            Self::BodyLimit => "body_limit_bytes",
            Self::Change(Kind::Picker) => "changes that stop and start endpoint pickers",
            Self::Change(Kind::Endpoint) => "changes that stop and start endpoints",
            Self::Change(Kind::Member) => "changes that take endpoints out of their pools",
            Self::Change(Kind::Weights) => "changes of weights",
            Self::Change(Kind::FailureMode) => "changes of failure modes",
            Self::Change(Kind::Objective) => "changes of objectives",
        }
    }

    /// Whether the target has it.
    pub fn is_met(self, target: &Target) -> bool {
        match self {
            Self::TwoModels => target.models.len() >= 2,
            Self::EndpointNames => {
                let mut weighted = target.pools().filter(|pool| pool.weight > 0);
                target.served_by_header.is_some() && weighted.all(|pool| !pool.endpoints.is_empty())
            }
            Self::Canary => target.canary().is_some(),
            Self::WeightZeroPool => target.weight_zero_pool().is_some(),
            Self::PoolToLoad => target.pool_to_load().is_some(),
            Self::CanaryToLoad => target
                .canary()
                .is_some_and(|model| model.weighted_pools().all(Pool::can_be_loaded)),
            Self::Faults => target
                .pool_to_load()
                .is_some_and(|(_, pool)| pool.takes_faults()),
            Self::HeldByPriority => target.pool_that_holds().is_some(),
            Self::ShedByPriority => target.model_that_sheds().is_some(),
            Self::Adapters => target.models.iter().any(|it| !it.adapters.is_empty()),
            Self::BodyLimit => target.body_limit_bytes.is_some(),
            Self::Change(kind) => {
                let changes = target.changes.as_ref();
                changes.is_some_and(|changes| changes.kinds.contains(&kind))
            }
        }
    }
}

/// What of a target a case takes.
impl Target {
    /// The first model whose requests are split.
    pub fn canary(&self) -> Option<&Model> {
        self.models
            .iter()
            .find(|model| model.weighted_pools().count() >= 2)
    }

    /// The first pool of weight 0, with its model.
    pub fn weight_zero_pool(&self) -> Option<(&Model, &Pool)> {
        self.models.iter().find_map(|model| {
            let pool = model.pools.iter().find(|pool| pool.weight == 0)?;
            Some((model, pool))
        })
    }

    /// The first pool that gets all requests of its model and whose endpoints can be loaded one by one.
    pub fn pool_to_load(&self) -> Option<(&Model, &Pool)> {
        self.single_pools().find(|(_, pool)| pool.can_be_loaded())
    }

    /// The first such pool whose endpoint picker queues by priority.
    pub fn pool_that_holds(&self) -> Option<(&Model, &Pool)> {
        self.priority_classes()?;
        self.single_pools()
            .find(|(_, pool)| pool.flow_control == Some(true) && pool.endpoints_have_urls())
    }

    /// The first model all of whose pools shed when they are saturated.
    pub fn model_that_sheds(&self) -> Option<&Model> {
        self.priority_classes()?;
        self.models.iter().find(|model| {
            model
                .weighted_pools()
                .all(|pool| pool.flow_control == Some(false) && pool.endpoints_have_urls())
        })
    }

    fn single_pools(&self) -> impl Iterator<Item = (&Model, &Pool)> {
        self.models.iter().filter_map(|model| {
            let mut pools = model.weighted_pools();
            let pool = pools.next()?;
            pools.next().is_none().then_some((model, pool))
        })
    }
}

impl Model {
    /// Its pools that get requests.
    pub fn weighted_pools(&self) -> impl Iterator<Item = &Pool> {
        self.pools.iter().filter(|pool| pool.weight > 0)
    }
}

impl Pool {
    fn endpoints_have_urls(&self) -> bool {
        !self.endpoints.is_empty() && self.endpoints.iter().all(|e| e.url.is_some())
    }

    fn can_be_loaded(&self) -> bool {
        self.endpoints.len() >= 2 && self.endpoints_have_urls()
    }

    fn takes_faults(&self) -> bool {
        self.endpoints.iter().all(|e| e.control.is_some())
    }
}
