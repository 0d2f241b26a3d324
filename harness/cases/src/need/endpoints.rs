//! Needs for endpoints: names, urls past the gateway, and control APIs.

use poolproof_model::target::{Endpoint, Model, Pool, Target};

use super::Find;
use super::fields::{CONTROL, ENDPOINTS, SERVED_BY, URLS, WEIGHTS};
use super::models::{Canary, single_pools};

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

/// The first pool of two or more endpoints that gets all requests of its model, if its answers have a session token. Found:
/// the model, the pool, and the header of the token.
#[derive(Debug)]
pub struct Sessions;

impl Find for Sessions {
    const WHAT: &'static str =
        "a model with one pool of two or more endpoints and a session_header";
    const ADD: &'static [&'static str] = &["`session_header` of a pool", ENDPOINTS];
    type Found<'a> = (&'a Model, &'a Pool, &'a str);

    fn look(target: &Target) -> Option<Self::Found<'_>> {
        let pools = single_pools(target).filter(|(_, pool)| pool.endpoints.len() > 1);
        let mut with_header =
            pools.filter_map(|(model, pool)| Some((model, pool, pool.session_header.as_deref()?)));
        with_header.next()
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

pub(super) fn endpoints_have_urls(pool: &Pool) -> bool {
    !pool.endpoints.is_empty() && pool.endpoints.iter().all(|endpoint| endpoint.url.is_some())
}

fn can_be_loaded(pool: &Pool) -> bool {
    pool.endpoints.len() >= 2 && endpoints_have_urls(pool)
}
