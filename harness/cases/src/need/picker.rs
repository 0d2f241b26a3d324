//! Needs for endpoint pickers that hold or shed requests by priority.

use std::time::Duration;

use poolproof_model::target::{Model, Pool, Target};

use super::Find;
use super::endpoints::endpoints_have_urls;
use super::fields::{CONTROL, ENDPOINTS, FLOW_CONTROL, OBJECTIVES, URLS};
use super::models::single_pools;

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
        CONTROL,
        FLOW_CONTROL,
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
