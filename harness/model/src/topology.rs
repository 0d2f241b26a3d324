//! The topology: the models, pools, weights, endpoints and objectives of a stack.
//!
//! Each kind of stack turns it into its own configuration and returns a [`crate::target::Target`].

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::routed::{self, Routed, Weighted};
use crate::target;

/// The requested structure of a stack. Read from TOML; unknown fields are errors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Topology {
    /// The name in reports.
    pub name: String,
    /// The models, each with its own route.
    pub models: Vec<Model>,
    /// InferenceObjectives by name, with their priority; higher goes first.
    #[serde(default)]
    pub objectives: BTreeMap<String, i32>,
}

/// One model, and the pools that share its requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// The value of `model` in requests.
    pub name: String,
    /// LoRA adapters of the model. Requests may use their names as `model`; routing is the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub adapters: Vec<String>,
    /// The number of adapters that each endpoint can run at once.
    #[serde(default = "max_loras")]
    pub max_loras: usize,
    /// How long its gateway lets a request take, in milliseconds (`timeouts.request` of an HTTPRoute rule). If absent, there
    /// is no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_timeout_ms: Option<u64>,
    /// Names that its endpoint pickers replace in requests, each with the names that its endpoints serve in its place, by
    /// weight (InferenceModelRewrite of GIE). Routing is that of the model.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rewrites: BTreeMap<String, BTreeMap<String, u32>>,
    /// The pools behind its route, by weight.
    pub pools: Vec<Pool>,
}

/// One InferencePool with its own endpoint picker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    /// The name of the InferencePool.
    pub name: String,
    /// Its weight among the pools of the model. A pool of weight 0 gets no requests.
    pub weight: u32,
    /// The number of model servers.
    pub endpoints: usize,
    /// Whether its endpoint picker queues by priority (`true`), or sheds negative priorities when saturated.
    #[serde(default)]
    pub flow_control: bool,
    /// Whether its endpoint picker prefers endpoints that already run the LoRA adapter of a request.
    #[serde(default)]
    pub lora_affinity: bool,
    /// Whether its endpoint picker keeps a client at its endpoint by a session token, if it can.
    #[serde(default)]
    pub session_affinity: bool,
    /// With `flow_control`: how long its endpoint picker holds a request before it refuses it, in milliseconds.
    #[serde(default = "held_ttl_ms")]
    pub held_ttl_ms: u64,
    /// With `flow_control`: the pool is full when its endpoints have this many requests each in progress, as its endpoint
    /// picker counts them (GIE's concurrency-detector). If absent, it is full by the metrics of its endpoints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_in_flight: Option<usize>,
    /// With `flow_control`: how many requests its endpoint picker holds in the priority of an objective, by objective. It
    /// refuses more. An objective that is not listed has no limit.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub held_max: BTreeMap<String, usize>,
}

fn max_loras() -> usize {
    4
}

fn held_ttl_ms() -> u64 {
    60_000
}

/// Batch requests that a picker of the default topology holds: more than cases send that are about something else.
const BATCH_HELD_MAX: usize = 250;

/// The most endpoints that a pool may be asked to have.
const ENDPOINTS_MAX: usize = 10_000;

impl Default for Topology {
    /// model-a on one pool with flow control, which splits a further name 90/10 over two served ones; model-b split 90/10 over stable and canary, with a next version at weight
    /// 0.
    fn default() -> Self {
        let pool = |name: &str, weight, endpoints, flow_control| Pool {
            name: name.to_owned(),
            weight,
            endpoints,
            flow_control,
            lora_affinity: false,
            session_affinity: false,
            held_ttl_ms: held_ttl_ms(),
            max_in_flight: None,
            held_max: BTreeMap::new(),
        };
        let mut held = pool("model-a", 100, 3, true);
        held.held_max.insert("batch".to_owned(), BATCH_HELD_MAX);
        held.session_affinity = true;
        Self {
            name: "default".to_owned(),
            models: vec![
                Model {
                    name: "model-a".to_owned(),
                    adapters: Vec::new(),
                    max_loras: max_loras(),
                    request_timeout_ms: None,
                    rewrites: BTreeMap::from([(
                        "model-a-split".to_owned(),
                        BTreeMap::from([
                            ("model-a-v1".to_owned(), 90),
                            ("model-a-v2".to_owned(), 10),
                        ]),
                    )]),
                    pools: vec![held],
                },
                Model {
                    name: "model-b".to_owned(),
                    adapters: Vec::new(),
                    max_loras: max_loras(),
                    request_timeout_ms: None,
                    rewrites: BTreeMap::new(),
                    pools: vec![
                        pool("model-b-stable", 90, 2, false),
                        pool("model-b-canary", 10, 2, false),
                        pool("model-b-next", 0, 1, false),
                    ],
                },
            ],
            objectives: BTreeMap::from([("interactive".to_owned(), 10), ("batch".to_owned(), -10)]),
        }
    }
}

impl Topology {
    /// Reads a topology from a TOML file and checks it.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("reading topology file {}", path.display()))?;
        let topology: Self =
            toml::from_str(&text).with_context(|| format!("topology file {}", path.display()))?;
        topology
            .check()
            .with_context(|| format!("topology file {}", path.display()))?;
        Ok(topology)
    }

    /// All pools, in order.
    pub fn pools(&self) -> impl Iterator<Item = &Pool> {
        self.models.iter().flat_map(|model| &model.pools)
    }

    /// Sets the weights of a model. Fails unless every pool of the model has exactly one weight.
    pub fn set_weights(&mut self, model: &str, weights: &BTreeMap<String, u32>) -> Result<()> {
        let known = self.models.iter_mut().find(|known| known.name == model);
        let known = known.with_context(|| format!("there is no model {model:?}"))?;
        ensure!(
            known.weights().keys().eq(weights.keys()),
            "model {model:?}: weights are needed for exactly {}",
            Vec::from_iter(known.weights().into_keys()).join(", ")
        );
        for pool in &mut known.pools {
            pool.weight = weights[&pool.name];
        }
        Ok(())
    }

    /// Fails unless each rewritten name is no other one's, and has served names with a weight.
    fn check_rewrites(&self) -> Result<()> {
        let names = |model: &Model| {
            let own = std::iter::once(model.name.clone());
            own.chain(model.routed_names().cloned()).collect::<Vec<_>>()
        };
        let all: Vec<String> = self.models.iter().flat_map(names).collect();
        for model in &self.models {
            for (name, served) in &model.rewrites {
                ensure!(
                    !name.is_empty() && all.iter().filter(|other| *other == name).count() == 1,
                    "model {:?}: `rewrites`: {name:?} must be unique among models, adapters and rewrites, and not empty",
                    model.name
                );
                ensure!(
                    !served.is_empty()
                        && served
                            .iter()
                            .all(|(name, weight)| !name.is_empty() && *weight > 0),
                    "model {:?}: `rewrites`: {name:?} needs names that are served in its place, each with a weight of at least 1",
                    model.name
                );
            }
        }
        Ok(())
    }

    /// Fails on impossible values, with the name of the field.
    pub(crate) fn check(&self) -> Result<()> {
        routed::check(&self.models)?;
        for model in &self.models {
            ensure!(
                model.max_loras > 0,
                "model {:?}: `max_loras` is 0: at least 1 is needed",
                model.name
            );
            ensure!(
                model.request_timeout_ms != Some(0),
                "model {:?}: `request_timeout_ms` is 0: at least 1 is needed",
                model.name
            );
        }
        self.check_rewrites()?;
        for pool in self.pools() {
            ensure!(
                (1..=ENDPOINTS_MAX).contains(&pool.endpoints),
                "pool {:?}: `endpoints` is {}: must be 1 to {ENDPOINTS_MAX}",
                pool.name,
                pool.endpoints
            );
            ensure!(
                pool.held_ttl_ms > 0,
                "pool {:?}: `held_ttl_ms` is 0: at least 1 is needed",
                pool.name
            );
            ensure!(
                pool.max_in_flight != Some(0),
                "pool {:?}: `max_in_flight` is 0: at least 1 is needed",
                pool.name
            );
            for (objective, held) in &pool.held_max {
                ensure!(
                    *held > 0 && self.objectives.contains_key(objective),
                    "pool {:?}: `held_max` of {objective:?} is {held}: at least 1 is needed, for an objective of the topology",
                    pool.name
                );
            }
        }
        Ok(())
    }
}

impl Model {
    /// What the endpoints of a target's model serve: its names, without its pools.
    pub fn served_by(model: &target::Model) -> Self {
        Self {
            name: model.name.clone(),
            adapters: model.adapters.clone(),
            max_loras: max_loras(),
            request_timeout_ms: None,
            rewrites: model.rewrites.clone(),
            pools: Vec::new(),
        }
    }

    /// The names beside its own that lead to its pools: adapters, and names that are rewritten.
    pub fn routed_names(&self) -> impl Iterator<Item = &String> {
        self.adapters.iter().chain(self.rewrites.keys())
    }

    /// The names that its endpoints serve beside adapters: its own, and those that others are rewritten to.
    pub fn served_names(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.name).chain(self.rewrites.values().flat_map(BTreeMap::keys))
    }
}

impl Routed for Model {
    type Pool = Pool;

    fn name(&self) -> &str {
        &self.name
    }

    fn adapters(&self) -> &[String] {
        &self.adapters
    }

    fn pools(&self) -> &[Pool] {
        &self.pools
    }
}

impl Weighted for Pool {
    fn name(&self) -> &str {
        &self.name
    }

    fn weight(&self) -> u32 {
        self.weight
    }
}

impl Pool {
    /// The names of the endpoints: pool name and number.
    pub fn endpoint_names(&self) -> impl Iterator<Item = String> + '_ {
        (0..self.endpoints).map(|number| format!("{}-{number}", self.name))
    }

    /// How many requests of a priority its endpoint picker holds, where there is a limit. Of objectives with one priority,
    /// the lowest limit counts.
    pub fn held_max_by_priority(&self, objectives: &BTreeMap<String, i32>) -> BTreeMap<i32, usize> {
        let mut limits = BTreeMap::new();
        for (objective, held) in &self.held_max {
            if let Some(priority) = objectives.get(objective) {
                let limit = limits.entry(*priority).or_insert(*held);
                *limit = (*limit).min(*held);
            }
        }
        limits
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_valid_and_survives_toml() {
        let topology = Topology::default();
        topology.check().unwrap();
        let text = toml::to_string(&topology).unwrap();
        assert_eq!(toml::from_str::<Topology>(&text).unwrap(), topology);
    }

    #[test]
    fn weights_are_set_for_all_pools_of_a_model_or_for_none() {
        let mut topology = Topology::default();
        let mut weights = topology.models[1].weights();
        weights.insert("model-b-canary".to_owned(), 50);
        topology.set_weights("model-b", &weights).unwrap();
        assert_eq!(topology.models[1].weights(), weights);
        weights.remove("model-b-next");
        let message = topology.set_weights("model-b", &weights).unwrap_err();
        assert!(message.to_string().contains("model-b-next"), "{message}");
        assert!(topology.set_weights("model-c", &weights).is_err());
    }

    #[test]
    fn limits_of_held_requests_are_by_priority_and_need_their_objective() {
        let mut topology = Topology::default();
        let objectives = topology.objectives.clone();
        let pool = &mut topology.models[0].pools[0];
        let limits = pool.held_max_by_priority(&objectives);
        assert_eq!(limits, BTreeMap::from([(-10, BATCH_HELD_MAX)]));
        pool.held_max.insert("other".to_owned(), 3);
        let message = topology.check().unwrap_err().to_string();
        assert!(
            message.contains("`held_max`") && message.contains("other"),
            "{message}"
        );
    }

    #[test]
    fn a_name_of_two_models_is_an_error() {
        let mut topology = Topology::default();
        topology.models[0].adapters = vec!["model-a-lora".to_owned()];
        topology.check().unwrap();
        for taken in ["model-a-lora", "model-a", ""] {
            topology.models[1].adapters = vec![taken.to_owned()];
            let message = topology.check().unwrap_err().to_string();
            assert!(
                message.contains("model-b") && message.contains("`adapters`"),
                "{message}"
            );
        }
    }

    #[test]
    fn a_rewritten_name_is_unique_and_has_weights() {
        let mut topology = Topology::default();
        let one = BTreeMap::from([("v1".to_owned(), 1)]);
        let none = BTreeMap::from([("v1".to_owned(), 0)]);
        for (name, served) in [("model-a", one), ("new", none), ("new", BTreeMap::new())] {
            topology.models[1].rewrites = BTreeMap::from([(name.to_owned(), served)]);
            let message = topology.check().unwrap_err().to_string();
            assert!(
                message.contains("model-b") && message.contains("`rewrites`"),
                "{message}"
            );
        }
    }

    #[test]
    fn a_model_without_traffic_is_refused() {
        let mut topology = Topology::default();
        topology.models[0].pools[0].weight = 0;
        let message = topology.check().unwrap_err().to_string();
        assert!(
            message.contains("model-a") && message.contains("weight"),
            "{message}"
        );
    }
}

#[cfg(test)]
mod properties {
    use super::*;
    use crate::target::Target;
    use poolproof_property::config;
    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;
    use proptest::sample::select;

    const NAME: &str = "[a-z]{1,8}|\\PC{0,8}";

    fn topology() -> impl Strategy<Value = Topology> {
        let flags = (any::<bool>(), any::<bool>(), any::<bool>());
        let max = proptest::option::of(0_usize..9);
        let held = (0_u64..9, max, btree_map(NAME, 0_usize..9, 0..3));
        let pool = (NAME, any::<u32>(), 0_usize..9, flags, held).prop_map(
            |(
                name,
                weight,
                endpoints,
                (flow_control, lora_affinity, session_affinity),
                (held_ttl_ms, max_in_flight, held_max),
            )| {
                Pool {
                    name,
                    weight,
                    endpoints,
                    flow_control,
                    lora_affinity,
                    session_affinity,
                    held_ttl_ms,
                    max_in_flight,
                    held_max,
                }
            },
        );
        let timeout = proptest::option::of(0_u64..9);
        let model = (NAME, vec(NAME, 0..3), 0_usize..9, timeout, vec(pool, 0..4)).prop_map(
            |(name, adapters, max_loras, request_timeout_ms, pools)| Model {
                name,
                adapters,
                max_loras,
                request_timeout_ms,
                rewrites: BTreeMap::new(),
                pools,
            },
        );
        let objectives = btree_map(NAME, any::<i32>(), 0..4);
        (NAME, vec(model, 0..4), objectives).prop_map(|(name, models, objectives)| Topology {
            name,
            models,
            objectives,
        })
    }

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn any_text_does_no_harm(text in "([a-z\\[\\]=\"'{}., \n0-9]|\\PC){0,80}") {
            let _ = toml::from_str::<Topology>(&text).map(|topology| topology.check());
            let _ = toml::from_str::<Target>(&text);
        }

        #[test]
        fn a_written_topology_and_its_target_are_read_back(topology in topology()) {
            let text = toml::to_string(&topology).unwrap_or_default();
            prop_assert_eq!(toml::from_str::<Topology>(&text).ok(), Some(topology.clone()));
            let Ok(target) = Target::planned(&topology) else {
                return Err(TestCaseError::fail("it has no target"));
            };
            let text = toml::to_string(&target).unwrap_or_default();
            prop_assert_eq!(toml::from_str::<Target>(&text).ok(), Some(target));
        }

        #[test]
        fn what_passes_the_check_can_be_planned(
            weights in vec(select(vec!["0", "1", "90", "1000000", "4294967295", "-1"]), 2),
            endpoints in select(vec!["0", "1", "10000", "9223372036854775807", "-1"]),
        ) {
            let mut text = "name = 't'\n[[models]]\nname = 'm'\n".to_owned();
            for (pool, weight) in weights.iter().enumerate() {
                text += &format!("[[models.pools]]\nname = 'p{pool}'\nweight = {weight}\nendpoints = {endpoints}\n");
            }
            let Ok(topology) = toml::from_str::<Topology>(&text) else {
                return Ok(());
            };
            if topology.check().is_ok() {
                let target = Target::planned(&topology).map_err(|error| TestCaseError::fail(error.to_string()))?;
                prop_assert!(target.models[0].total_weight() > 0);
            }
        }
    }
}
