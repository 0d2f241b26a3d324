//! Needs for models: their number, their adapters, and the weights of their pools.

use std::collections::BTreeMap;

use poolproof_model::target::{Model, Pool, Target};

use super::Find;
use super::fields::{CONTROL, ENDPOINTS, WEIGHTS};

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

/// The first model with a name that its endpoint pickers replace in requests, if its endpoints show the names that arrive.
/// Found: the model, the name, and the names that are served in its place, by weight.
#[derive(Debug)]
pub struct Rewritten;

impl Find for Rewritten {
    const WHAT: &'static str =
        "a model with rewrites, each to two or more names, and control urls of its endpoints";
    const ADD: &'static [&'static str] = &["`rewrites` of a model", ENDPOINTS, CONTROL];
    type Found<'a> = (&'a Model, &'a str, &'a BTreeMap<String, u32>);

    fn look(target: &Target) -> Option<Self::Found<'_>> {
        let is_logged = |model: &Model| {
            let mut endpoints = model.weighted_pools().flat_map(|pool| &pool.endpoints);
            endpoints.all(|endpoint| endpoint.control.is_some())
        };
        let logged = target.models.iter().filter(|model| is_logged(model));
        let mut rewrites = logged.flat_map(|model| {
            let rewrites = model.rewrites.iter();
            rewrites.map(move |(name, served)| (model, name.as_str(), served))
        });
        rewrites.find(|(_, _, served)| served.len() > 1)
    }
}

pub(super) fn single_pools(target: &Target) -> impl Iterator<Item = (&Model, &Pool)> {
    target.models.iter().filter_map(|model| {
        let mut pools = model.weighted_pools();
        let pool = pools.next()?;
        pools.next().is_none().then_some((model, pool))
    })
}
