//! What a model of a topology and a model of a target have in common: names, and pools that share its requests by weight.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};

/// The largest weight of a pool (Gateway API, `BackendRef.weight`).
const WEIGHT_MAX: u32 = 1_000_000;

/// A pool behind the route of a model.
pub trait Weighted {
    /// Its name.
    fn name(&self) -> &str;

    /// Its weight among the pools of the model.
    fn weight(&self) -> u32;
}

/// A model with a route.
pub trait Routed {
    /// Its pools, as asked for or as found.
    type Pool: Weighted;

    /// The value of `model` in requests.
    fn name(&self) -> &str;

    /// LoRA adapters of the model.
    fn adapters(&self) -> &[String];

    /// The pools that share its requests.
    fn pools(&self) -> &[Self::Pool];

    /// The weights of the pools, by name.
    fn weights(&self) -> BTreeMap<String, u32> {
        let pools = self.pools().iter();
        pools
            .map(|pool| (pool.name().to_owned(), pool.weight()))
            .collect()
    }
}

/// Fails unless there is a model, each model has a pool with a weight, and all names are unique.
pub(crate) fn check<M: Routed>(models: &[M]) -> Result<()> {
    ensure!(
        !models.is_empty(),
        "`models` is empty: at least one [[models]] is needed"
    );
    check_names(models)?;
    let mut names = BTreeSet::new();
    for model in models {
        let (name, pools) = (model.name(), model.pools());
        ensure!(
            !pools.is_empty(),
            "model {name:?}: `pools` is empty: at least one [[models.pools]] is needed"
        );
        ensure!(
            pools.iter().any(|pool| pool.weight() > 0),
            "model {name:?}: every pool has `weight` 0, so no request could be served"
        );
        for pool in pools {
            let (pool, weight) = (pool.name(), pool.weight());
            ensure!(
                names.insert(pool),
                "model {name:?}: `pools`: duplicate name {pool:?}"
            );
            ensure!(
                weight <= WEIGHT_MAX,
                "pool {pool:?}: `weight` is {weight}: must be {WEIGHT_MAX} at most"
            );
        }
    }
    Ok(())
}

/// Fails unless all names of models and adapters are unique.
fn check_names<M: Routed>(models: &[M]) -> Result<()> {
    let mut names = BTreeSet::new();
    for model in models {
        let name = model.name();
        ensure!(names.insert(name), "`models`: duplicate name {name:?}");
    }
    for model in models {
        for adapter in model.adapters() {
            ensure!(
                !adapter.is_empty() && names.insert(adapter),
                "model {:?}: `adapters`: {adapter:?} must be unique among models and adapters, and not empty",
                model.name()
            );
        }
    }
    Ok(())
}
