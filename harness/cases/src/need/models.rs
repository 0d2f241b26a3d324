//! Needs for models: their number, their adapters, and the weights of their pools.

use poolproof_model::target::{Model, Pool, Target};

use super::Find;
use super::fields::WEIGHTS;

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

pub(super) fn single_pools(target: &Target) -> impl Iterator<Item = (&Model, &Pool)> {
    target.models.iter().filter_map(|model| {
        let mut pools = model.weighted_pools();
        let pool = pools.next()?;
        pools.next().is_none().then_some((model, pool))
    })
}
