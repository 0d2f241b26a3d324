//! Needs: features that a case requires of its target. A need returns what it finds, so that cases do not look it up
//! again.
//!
//! A new need is one type with one [`Find`] implementation in this file. A case lists it as `PoolToLoad::NEED`, and
//! obtains the result with `PoolToLoad::find(&ctx.target)?`.

use std::time::Duration;

use poolproof_model::change::Kind;
use poolproof_model::target::{Endpoint, Model, Pool, Target};

/// The field for answers that name their endpoint. A target may have it and lack only the endpoints.
pub(crate) const SERVED_BY: &str = "`served_by_header`";
const ENDPOINTS: &str = "`[[models.pools.endpoints]]` by `name`";
const URLS: &str = "the `url` of each endpoint, two or more in a pool";
const CONTROL: &str = "the `control` url of each endpoint";
const OBJECTIVES: &str = "`[objectives]` above and below 0";
const FLOW_CONTROL: &str = "`flow_control` of each pool";
const WEIGHTS: &str = "two or more `[[models.pools]]` of a model with their `weight`";
const CHANGES: &str = "`[changes]`, a hook that changes the stack";

/// A feature that can be found in a target.
pub trait Find {
    /// The description, with the fields of a target file that provide it.
    const WHAT: &'static str;
    /// The fields of a target file that provide it.
    const ADD: &'static [&'static str];
    /// The result for the case.
    type Found<'a>;

    /// Searches a target.
    fn look(target: &Target) -> Option<Self::Found<'_>>;

    /// Searches a target, or returns what is missing. A case that returns [`Missing`] as its error is skipped.
    fn find(target: &Target) -> Result<Self::Found<'_>, Missing> {
        Self::look(target).ok_or(Missing(Self::WHAT))
    }

    /// The entry for the list of needs of a case.
    const NEED: Need = Need {
        what: Self::WHAT,
        add: Self::ADD,
        check: Check::Found(|target| Self::look(target).is_some()),
    };
}

/// A missing feature of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing(pub &'static str);

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the target lacks {}", self.0)
    }
}

impl std::error::Error for Missing {}

/// An entry in the list of needs of a case. It is checked before anything is sent.
#[derive(Clone, Copy, Debug)]
pub struct Need {
    what: &'static str,
    add: &'static [&'static str],
    check: Check,
}

#[derive(Clone, Copy, Debug)]
enum Check {
    Found(fn(&Target) -> bool),
    Change(Kind),
    Time,
}

impl Need {
    /// The need for one kind of change, which [`crate::context::Context::change`] makes.
    pub const fn change(kind: Kind) -> Self {
        let what = match kind {
            Kind::Picker => "changes that stop and start endpoint pickers",
            Kind::Endpoint => "changes that stop and start endpoints",
            Kind::Member => "changes that take endpoints out of their pools",
            Kind::Weights => "changes of weights",
            Kind::FailureMode => "changes of failure modes",
            Kind::Objective => "changes of objectives",
            Kind::Terminate => "changes that end endpoints with a grace period",
            Kind::Ready => "changes that make endpoints not ready",
            Kind::Moved => "changes that move endpoints to other addresses",
        };
        Self {
            what,
            add: &[CHANGES],
            check: Check::Change(kind),
        }
    }

    /// The need for more time than a case of a usual run may take. Every target meets it; a run has the time if it includes
    /// slow cases. See [`crate::case::Case::is_slow`].
    pub const fn time() -> Self {
        Self {
            what: "time (a slow case: --slow)",
            add: &[],
            check: Check::Time,
        }
    }

    /// The description of this need.
    pub fn describe(self) -> &'static str {
        self.what
    }

    /// The fields of a target file that provide it.
    pub fn fields(self) -> &'static [&'static str] {
        self.add
    }

    /// Whether the target meets it.
    pub fn is_met(self, target: &Target) -> bool {
        match self.check {
            Check::Found(is_found) => is_found(target),
            Check::Change(kind) => {
                let changes = target.changes.as_ref();
                changes.is_some_and(|changes| changes.kinds.contains(&kind))
            }
            Check::Time => true,
        }
    }

    /// Whether a case with this need changes parts of the stack.
    pub fn is_change(self) -> bool {
        matches!(self.check, Check::Change(_))
    }

    /// Whether a case with this need is slow.
    pub fn is_time(self) -> bool {
        matches!(self.check, Check::Time)
    }
}

/// Two models, to distinguish a wrong route from a right one.
#[derive(Debug)]
pub struct TwoModels;

impl Find for TwoModels {
    const WHAT: &'static str = "two models";
    const ADD: &'static [&'static str] = &["a second one of `[[models]]`"];
    type Found<'a> = [&'a Model; 2];

    fn look(target: &Target) -> Option<Self::Found<'_>> {
        match target.models.as_slice() {
            [first, second, ..] => Some([first, second]),
            _ => None,
        }
    }
}

/// Responses that identify their endpoint, and known endpoints in every pool with a weight, so that each response can
/// be assigned to a pool. Found: the header that identifies the endpoint.
#[derive(Debug)]
pub struct EndpointNames;

impl Find for EndpointNames {
    const WHAT: &'static str = "answers that name their endpoint (served_by_header), and the endpoints of every pool with a weight, by name";
    const ADD: &'static [&'static str] = &[SERVED_BY, ENDPOINTS];
    type Found<'a> = &'a str;

    fn look(target: &Target) -> Option<Self::Found<'_>> {
        let mut weighted = target.pools().filter(|pool| pool.weight > 0);
        let header = target.served_by_header.as_deref()?;
        weighted
            .all(|pool| !pool.endpoints.is_empty())
            .then_some(header)
    }
}

/// The first model whose requests are split over two or more pools with a weight.
#[derive(Debug)]
pub struct Canary;

impl Find for Canary {
    const WHAT: &'static str = "a model with two or more pools with a weight";
    const ADD: &'static [&'static str] = &[WEIGHTS];
    type Found<'a> = &'a Model;

    fn look(target: &Target) -> Option<Self::Found<'_>> {
        target.canary()
    }
}

/// The [`PoolToLoad`], if its endpoint picker scores prefixes.
#[derive(Debug)]
pub struct PrefixAffinity;

impl Find for PrefixAffinity {
    const WHAT: &'static str =
        "a model with one pool of two or more endpoints with urls and prefix_affinity = true";
    const ADD: &'static [&'static str] = &["`prefix_affinity = true` of a pool", ENDPOINTS, URLS];
    type Found<'a> = (&'a Model, &'a Pool);

    fn look(target: &Target) -> Option<Self::Found<'_>> {
        let scores = |pool: &Pool| pool.prefix_affinity == Some(true) && can_be_loaded(pool);
        single_pools(target).find(|(_, pool)| scores(pool))
    }
}

/// The first pool of weight 0 next to other pools, with its model.
#[derive(Debug)]
pub struct WeightZeroPool;

impl Find for WeightZeroPool {
    const WHAT: &'static str = "a pool of weight 0 beside others";
    const ADD: &'static [&'static str] = &["a pool with `weight = 0`"];
    type Found<'a> = (&'a Model, &'a Pool);

    fn look(target: &Target) -> Option<Self::Found<'_>> {
        target.models.iter().find_map(|model| {
            let pool = model.pools.iter().find(|pool| pool.weight == 0)?;
            Some((model, pool))
        })
    }
}

/// The first pool that gets all requests of its model and has two or more endpoints with urls for ballast.
#[derive(Debug)]
pub struct PoolToLoad;

impl Find for PoolToLoad {
    const WHAT: &'static str = "a model with one pool of two or more endpoints with urls";
    const ADD: &'static [&'static str] = &[ENDPOINTS, URLS];
    type Found<'a> = (&'a Model, &'a Pool);

    fn look(target: &Target) -> Option<Self::Found<'_>> {
        single_pools(target).find(|(_, pool)| can_be_loaded(pool))
    }
}

/// The [`Canary`], if each of its pools has two or more endpoints with urls for ballast.
#[derive(Debug)]
pub struct CanaryToLoad;

impl Find for CanaryToLoad {
    const WHAT: &'static str =
        "a model with two or more pools with a weight, each of two or more endpoints with urls";
    const ADD: &'static [&'static str] = &[WEIGHTS, ENDPOINTS, URLS];
    type Found<'a> = &'a Model;

    fn look(target: &Target) -> Option<Self::Found<'_>> {
        Canary::look(target).filter(|model| model.weighted_pools().all(can_be_loaded))
    }
}

/// The [`PoolToLoad`], if its endpoints have a control API for faults.
#[derive(Debug)]
pub struct Faults;

impl Find for Faults {
    const WHAT: &'static str = "a pool whose endpoints have control urls";
    const ADD: &'static [&'static str] = &[ENDPOINTS, URLS, CONTROL];
    type Found<'a> = (&'a Model, &'a Pool);

    fn look(target: &Target) -> Option<Self::Found<'_>> {
        let takes_faults = |pool: &Pool| {
            pool.endpoints
                .iter()
                .all(|endpoint| endpoint.control.is_some())
        };
        PoolToLoad::look(target).filter(|(_, pool)| takes_faults(pool))
    }
}

/// Endpoints whose control API shows the requests that arrived, in every pool with a weight.
#[derive(Debug)]
pub struct EndpointLogs;

impl Find for EndpointLogs {
    const WHAT: &'static str = "control urls of the endpoints of every pool with a weight";
    const ADD: &'static [&'static str] = &[ENDPOINTS, CONTROL];
    type Found<'a> = Vec<&'a Endpoint>;

    fn look(target: &Target) -> Option<Self::Found<'_>> {
        let pools = target.pools().filter(|pool| pool.weight > 0);
        let endpoints: Vec<&Endpoint> = pools.flat_map(|pool| &pool.endpoints).collect();
        let all_logged = endpoints.iter().all(|endpoint| endpoint.control.is_some());
        (!endpoints.is_empty() && all_logged).then_some(endpoints)
    }
}

/// Endpoints that can be asked past the gateway, whose answers show what is to come back through it. Found: each model with the url
/// of an endpoint in one of its pools with a weight.
#[derive(Debug)]
pub struct Straight;

impl Find for Straight {
    const WHAT: &'static str = "the url of an endpoint of every model";
    const ADD: &'static [&'static str] = &[ENDPOINTS, URLS];
    type Found<'a> = Vec<(&'a Model, &'a url::Url)>;

    fn look(target: &Target) -> Option<Self::Found<'_>> {
        let with_url = target.models.iter().map(|model| {
            let mut endpoints = model.weighted_pools().flat_map(|pool| &pool.endpoints);
            Some((model, endpoints.find_map(|endpoint| endpoint.url.as_ref())?))
        });
        with_url.collect()
    }
}

/// The names of two objectives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Classes<'a> {
    /// The objective with the highest priority, 0 or more.
    pub interactive: &'a str,
    /// Its priority.
    pub interactive_priority: i32,
    /// The objective with the lowest priority, below 0.
    pub batch: &'a str,
}

impl<'a> Classes<'a> {
    fn look(target: &'a Target) -> Option<Self> {
        let (interactive, batch) = target.priority_classes()?;
        Some(Self {
            interactive,
            interactive_priority: *target.objectives.get(interactive)?,
            batch,
        })
    }
}

/// The first pool that gets all requests of its model, has endpoint urls and an endpoint picker that queues by
/// priority; and two classes.
#[derive(Debug)]
pub struct HeldByPriority;

impl Find for HeldByPriority {
    const WHAT: &'static str =
        "a pool with flow_control = true, endpoint urls, and objectives above and below priority 0";
    const ADD: &'static [&'static str] = &[ENDPOINTS, URLS, FLOW_CONTROL, OBJECTIVES];
    type Found<'a> = (&'a Model, &'a Pool, Classes<'a>);

    fn look(target: &Target) -> Option<Self::Found<'_>> {
        let classes = Classes::look(target)?;
        let holds = |pool: &Pool| pool.flow_control == Some(true) && endpoints_have_urls(pool);
        let (model, pool) = single_pools(target).find(|(_, pool)| holds(pool))?;
        Some((model, pool, classes))
    }
}

/// The [`HeldByPriority`], if held requests of one priority take turns by their fairness ids.
#[derive(Debug)]
pub struct HeldFairly;

impl Find for HeldFairly {
    const WHAT: &'static str = "a pool with flow_control = true and fair_flows = true, endpoint urls, and objectives above and below priority 0";
    const ADD: &'static [&'static str] = &[
        ENDPOINTS,
        URLS,
        FLOW_CONTROL,
        "`fair_flows = true` of a pool",
        OBJECTIVES,
    ];
    type Found<'a> = (&'a Model, &'a Pool, Classes<'a>);

    fn look(target: &Target) -> Option<Self::Found<'_>> {
        HeldByPriority::look(target).filter(|(_, pool, _)| pool.fair_flows == Some(true))
    }
}

/// The first pool that gets all requests of its model and has a known time after which held requests expire, with that
/// time.
#[derive(Debug)]
pub struct HeldForATime;

/// By how much the timeout of a route must be above the time to live of held requests.
const AFTER_TTL_MS: u64 = 2000;

impl Find for HeldForATime {
    const WHAT: &'static str = "a pool with flow_control = true and held_ttl_ms that is not beyond its route's timeout, endpoint urls, and objectives above and below priority 0";
    const ADD: &'static [&'static str] = &[
        "`held_ttl_ms` of a pool",
        ENDPOINTS,
        URLS,
        FLOW_CONTROL,
        OBJECTIVES,
    ];
    type Found<'a> = (&'a Model, &'a Pool, Classes<'a>, Duration);

    fn look(target: &Target) -> Option<Self::Found<'_>> {
        let classes = Classes::look(target)?;
        single_pools(target).find_map(|(model, pool)| {
            let holds = pool.flow_control == Some(true) && endpoints_have_urls(pool);
            let ttl_ms = pool.held_ttl_ms.filter(|_| holds)?;
            // A route that refuses a request before its picker does would hide it.
            let is_first = model
                .request_timeout_ms
                .is_none_or(|ms| ms > ttl_ms + AFTER_TTL_MS);
            is_first.then_some((model, pool, classes, Duration::from_millis(ttl_ms)))
        })
    }
}

/// The first pool that gets all requests of its model, is full by the number of its requests in progress, and has control
/// urls of its endpoints. Found: also the number of requests that fill it.
#[derive(Debug)]
pub struct FullByCount;

impl Find for FullByCount {
    const WHAT: &'static str =
        "a pool with flow_control = true, max_in_flight, and endpoints with control urls";
    const ADD: &'static [&'static str] = &[
        "`max_in_flight` of a pool",
        ENDPOINTS,
        URLS,
        FLOW_CONTROL,
        OBJECTIVES,
    ];
    type Found<'a> = (&'a Model, &'a Pool, usize);

    fn look(target: &Target) -> Option<Self::Found<'_>> {
        single_pools(target).find_map(|(model, pool)| {
            let mut endpoints = pool.endpoints.iter();
            let logs = endpoints.all(|endpoint| endpoint.control.is_some());
            let holds = pool.flow_control == Some(true) && logs;
            let max = pool.max_in_flight.filter(|_| holds)? * pool.endpoints.len();
            (max > 0).then_some((model, pool, max))
        })
    }
}

/// The first model whose route has a timeout, with that timeout.
#[derive(Debug)]
pub struct RouteTimeout;

impl Find for RouteTimeout {
    const WHAT: &'static str = "a model with request_timeout_ms";
    const ADD: &'static [&'static str] = &["`request_timeout_ms` of a model", ENDPOINTS, CONTROL];
    type Found<'a> = (&'a Model, Duration);

    fn look(target: &Target) -> Option<Self::Found<'_>> {
        target.models.iter().find_map(|model| {
            let timeout = model.request_timeout_ms?;
            Some((model, Duration::from_millis(timeout)))
        })
    }
}

/// A limit of held requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldMax<'a> {
    /// The objective in whose priority requests are held.
    pub objective: &'a str,
    /// That priority.
    pub priority: i32,
    /// How many requests are held.
    pub requests: usize,
    /// An objective of another priority that has room for more requests.
    pub other: &'a str,
}

/// The first pool that gets all requests of its model and has a limit of held requests that is not too high to be
/// reached, with that limit.
#[derive(Debug)]
pub struct HeldInNumber;

/// Limits up to this number are reached by a case.
const HELD_MAX: usize = 1000;

impl Find for HeldInNumber {
    const WHAT: &'static str = "a pool with flow_control = true, a limit of at most 1000 in held_max, endpoint urls, and an objective of another priority without a limit";
    const ADD: &'static [&'static str] = &[
        "`held_max` of a pool",
        ENDPOINTS,
        URLS,
        FLOW_CONTROL,
        OBJECTIVES,
    ];
    type Found<'a> = (&'a Model, &'a Pool, HeldMax<'a>);

    fn look(target: &Target) -> Option<Self::Found<'_>> {
        single_pools(target).find_map(|(model, pool)| {
            let holds = pool.flow_control == Some(true) && endpoints_have_urls(pool);
            let mut limits = pool.held_max.iter().filter(|_| holds);
            limits.find_map(|(objective, &requests)| {
                let priority = *target.objectives.get(objective)?;
                let mut others = target.objectives.iter();
                let (other, _) = others.find(|(name, of_other)| {
                    **of_other != priority && !pool.held_max.contains_key(*name)
                })?;
                let limit = HeldMax {
                    objective,
                    priority,
                    requests,
                    other,
                };
                (requests <= HELD_MAX).then_some((model, pool, limit))
            })
        })
    }
}

/// The first model whose pools all shed when saturated and have urls for ballast; and two classes.
#[derive(Debug)]
pub struct ShedByPriority;

impl Find for ShedByPriority {
    const WHAT: &'static str = "a model whose pools have flow_control = false, endpoint urls, and objectives above and below priority 0";
    const ADD: &'static [&'static str] = &[ENDPOINTS, URLS, FLOW_CONTROL, OBJECTIVES];
    type Found<'a> = (&'a Model, Classes<'a>);

    fn look(target: &Target) -> Option<Self::Found<'_>> {
        let classes = Classes::look(target)?;
        let sheds = |pool: &Pool| pool.flow_control == Some(false) && endpoints_have_urls(pool);
        let mut models = target.models.iter();
        let model = models.find(|model| model.weighted_pools().all(sheds))?;
        Some((model, classes))
    }
}

/// One or more LoRA adapters, each with its model.
#[derive(Debug)]
pub struct Adapters;

impl Find for Adapters {
    const WHAT: &'static str = "a model with adapters";
    const ADD: &'static [&'static str] = &["`adapters` of a model"];
    type Found<'a> = Vec<(&'a Model, &'a str)>;

    fn look(target: &Target) -> Option<Self::Found<'_>> {
        let models = target.models.iter();
        let adapters: Vec<_> = models
            .flat_map(|model| {
                model
                    .adapters
                    .iter()
                    .map(move |adapter| (model, adapter.as_str()))
            })
            .collect();
        (!adapters.is_empty()).then_some(adapters)
    }
}

/// The longest request body that the gateway accepts, in bytes.
#[derive(Debug)]
pub struct BodyLimit;

impl Find for BodyLimit {
    const WHAT: &'static str = "body_limit_bytes";
    const ADD: &'static [&'static str] = &["`body_limit_bytes`"];
    type Found<'a> = usize;

    fn look(target: &Target) -> Option<Self::Found<'_>> {
        target.body_limit_bytes
    }
}

fn single_pools(target: &Target) -> impl Iterator<Item = (&Model, &Pool)> {
    target.models.iter().filter_map(|model| {
        let mut pools = model.weighted_pools();
        let pool = pools.next()?;
        pools.next().is_none().then_some((model, pool))
    })
}

fn endpoints_have_urls(pool: &Pool) -> bool {
    !pool.endpoints.is_empty() && pool.endpoints.iter().all(|endpoint| endpoint.url.is_some())
}

fn can_be_loaded(pool: &Pool) -> bool {
    pool.endpoints.len() >= 2 && endpoints_have_urls(pool)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use poolproof_model::topology::Topology;

    fn target() -> Target {
        Target::planned(&Topology::default()).unwrap()
    }

    #[test]
    fn a_need_finds_what_its_entry_promises() {
        let mut target = target();
        let (model, pool) = PoolToLoad::find(&target).unwrap();
        assert_eq!((&*model.name, &*pool.name), ("model-a", "model-a"));
        assert_eq!(CanaryToLoad::find(&target).unwrap().name, "model-b");
        assert!(PoolToLoad::NEED.is_met(&target) && CanaryToLoad::NEED.is_met(&target));

        for endpoint in &mut target.models[0].pools[0].endpoints {
            endpoint.url = None;
        }
        assert!(!PoolToLoad::NEED.is_met(&target) && !Faults::NEED.is_met(&target));
        let missing = PoolToLoad::find(&target).unwrap_err();
        assert_eq!(missing.0, PoolToLoad::NEED.describe());
    }

    #[test]
    fn classes_of_one_priority_are_not_two_classes() {
        let mut target = target();
        let (.., classes) = HeldByPriority::find(&target).unwrap();
        assert_eq!(
            (classes.interactive, classes.batch),
            ("interactive", "batch")
        );
        target.objectives.retain(|_, priority| *priority > 0);
        assert!(HeldByPriority::find(&target).is_err());
        assert!(ShedByPriority::find(&target).is_err());
    }

    #[test]
    fn a_change_is_met_only_by_a_target_that_takes_its_kind() {
        let mut target = target();
        let need = Need::change(Kind::Picker);
        assert!(need.is_met(&target) && need.is_change());
        target.changes.as_mut().unwrap().kinds = [Kind::Weights].into();
        assert!(!need.is_met(&target));
    }
}
