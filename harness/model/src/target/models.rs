//! The models of a target, their pools and endpoints, as its file has them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::routed::{Routed, Weighted};

/// One model of a target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// The value of `model` in requests.
    pub name: String,
    /// LoRA adapters of the model. Requests may use their names as `model`; routing is the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub adapters: Vec<String>,
    /// How long its gateway lets a request take, in milliseconds (`timeouts.request` of an HTTPRoute rule). If absent, there
    /// is no limit, or it is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_timeout_ms: Option<u64>,
    /// Names that its endpoint pickers replace in requests, each with the names that its endpoints serve in its place, by
    /// weight, as with GIE's InferenceModelRewrite.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rewrites: BTreeMap<String, BTreeMap<String, u32>>,
    /// The pools that share its requests.
    #[serde(default)]
    pub pools: Vec<Pool>,
}

/// One pool of a target.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    /// Its name.
    pub name: String,
    /// Its weight among the pools of the model [default: 1, as that of a `BackendRef` in the Gateway API].
    #[serde(default = "one")]
    pub weight: u32,
    /// The `/metrics` of its endpoint picker, used as further evidence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epp_metrics: Option<Url>,
    /// Whether its endpoint picker queues by priority. If absent, this is unknown, and cases that depend on it are
    /// skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow_control: Option<bool>,
    /// Whether held requests of one priority take turns by their fairness ids, as with GIE's
    /// round-robin-fairness-policy. If absent, this is unknown, and cases that depend on it are skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fair_flows: Option<bool>,
    /// Whether its endpoint picker prefers endpoints that have seen the prefix of a prompt, with a weight that decides
    /// while the pool is idle, as GIE's default does. If absent, this is unknown, and cases that depend on it are
    /// skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix_affinity: Option<bool>,
    /// The header of its answers that holds a session token. A client that sends it back stays at the endpoint. If absent,
    /// there is none, or it is unknown, and cases that depend on it are skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_header: Option<String>,
    /// How long its endpoint picker holds a request before it refuses it, in milliseconds, as with GIE's
    /// `defaultRequestTTL`. If absent, this is unknown, and cases that depend on it are skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_ttl_ms: Option<u64>,
    /// How many requests in progress at each endpoint fill the pool, as its endpoint picker counts them, as with GIE's
    /// concurrency-detector. If absent, the pool is full by other signs, or this is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_in_flight: Option<usize>,
    /// How many requests its endpoint picker holds in the priority of an objective, by objective, as with GIE's
    /// `maxRequests` of a priority band. It refuses more.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub held_max: BTreeMap<String, usize>,
    /// Its endpoints.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<Endpoint>,
}

/// One model server of a pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// Its name, as its responses carry it in `x-inference-pod`.
    pub name: String,
    /// An address that bypasses the gateway. Needed for ballast and for its counters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<Url>,
    /// The control API of a poolproof model server: settings, faults, and its log of requests and scrapes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<Url>,
}

fn one() -> u32 {
    1
}

impl Model {
    /// The pools with a weight above 0.
    pub fn weighted_pools(&self) -> impl Iterator<Item = &Pool> {
        self.pools.iter().filter(|pool| pool.weight > 0)
    }

    /// The sum of the weights of the pools.
    pub fn total_weight(&self) -> u32 {
        self.pools.iter().map(|pool| pool.weight).sum()
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
