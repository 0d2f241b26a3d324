//! The target: the addresses of a running stack, and the known facts about it. `--stack url` reads it; `up` prints it.

mod access;
pub mod address;
mod certificates;
mod file;
mod metrics;
mod models;
mod parameters;
mod proxy;
mod secret;
mod urls;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::change::Changes;
use crate::status::Statuses;

pub use access::{Access, ApiKey, Revealed};
pub use address::Paths;
pub use certificates::{Certificates, Tls, read_certificates};
pub use metrics::Metrics;
pub use models::{Endpoint, Model, Pool};
pub use parameters::Parameters;
pub use proxy::Proxy;
pub use secret::{HIDDEN, Secret, Source, conceal, from_env, from_file, remember};
pub use urls::{PoolUrls, Urls};

/// The header that names a request's InferenceObjective in GIE v1.5.0.
pub const GIE_OBJECTIVE_HEADER: &str = "x-gateway-inference-objective";
/// The header of session tokens (llm-d-router, session-affinity-scorer).
pub const SESSION_HEADER: &str = "x-session-token";

/// The response header that carries the name of the model server (llm-d-inference-sim, poolproof's model server).
pub const SERVED_BY_HEADER: &str = "x-inference-pod";

/// The longest request body that the reference gateway accepts; also agentgateway's default.
pub const BODY_LIMIT_BYTES: usize = 2 << 20;

/// A running stack, as far as a client can know it. Read from TOML; unknown fields are errors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// The name in reports [default: the address of the gateway].
    #[serde(default)]
    pub name: String,
    /// The address of the gateway. A path and a query are kept in every request; `/v1` at its end is not repeated. A login,
    /// `http://user:password@host`, is sent as basic authentication.
    #[serde(deserialize_with = "file::with_scheme")]
    pub url: Url,
    /// Headers of every request, to the gateway and to the parts behind it. One of the same name replaces a header that poolproof
    /// sets itself. `host` is for the gateway alone.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Source>,
    /// The key of the API, sent as `Authorization: Bearer KEY`, or in a header of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key: Option<ApiKey>,
    /// Certificates for https.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// The http proxy for every request, loopback addresses included. [default: by HTTP_PROXY, HTTPS_PROXY and NO_PROXY]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<Source>,
    /// Other paths than those of the OpenAI API.
    #[serde(default, skip_serializing_if = "Paths::are_default")]
    pub paths: Paths,
    /// Parameters of request bodies that the servers name differently or refuse.
    #[serde(default, skip_serializing_if = "Parameters::are_default")]
    pub parameters: Parameters,
    /// What the fields above name, as it was read.
    #[serde(skip)]
    pub access: Access,
    /// The request header that names the InferenceObjective.
    #[serde(default = "gie_objective_header")]
    pub objective_header: String,
    /// The response header that identifies the endpoint which served a request. Its value is the endpoint's name, or
    /// the address in its url, as Envoy's `%UPSTREAM_HOST%`. `None`: responses identify no endpoint.
    #[serde(default = "served_by_header", skip_serializing_if = "Option::is_none")]
    pub served_by_header: Option<String>,
    /// The longest request body that the gateway accepts, in bytes. If absent, there is no limit or it is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_limit_bytes: Option<usize>,
    /// Where cases can request changes of the stack. If absent, no part can be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes: Option<Changes>,
    /// Where cases can request Gateways, HTTPRoutes and InferencePools of their own, and read their conditions. If absent,
    /// conditions are unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statuses: Option<Statuses>,
    /// The served models.
    pub models: Vec<Model>,
    /// InferenceObjectives by name, with their priority; higher goes first.
    #[serde(default)]
    pub objectives: BTreeMap<String, i32>,
    /// Further metrics that a load run follows, such as those of GPU exporters. Those of endpoints and pickers are known by
    /// their addresses above.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<Metrics>,
}

fn gie_objective_header() -> String {
    GIE_OBJECTIVE_HEADER.to_owned()
}

/// The default header in which model servers name themselves.
pub fn served_by_header() -> Option<String> {
    Some(SERVED_BY_HEADER.to_owned())
}

impl Target {
    /// A target of which only the address of the gateway is known: no model, no objective, no key, no proxy.
    pub fn at(name: String, url: Url) -> Self {
        Self {
            name,
            url,
            headers: BTreeMap::new(),
            api_key: None,
            tls: None,
            proxy: None,
            paths: Paths::default(),
            parameters: Parameters::default(),
            access: Access::default(),
            objective_header: gie_objective_header(),
            served_by_header: served_by_header(),
            body_limit_bytes: None,
            changes: None,
            statuses: None,
            models: Vec::new(),
            objectives: BTreeMap::new(),
            metrics: Vec::new(),
        }
    }

    /// The name of a target that has none: its address, without a login.
    pub fn name_of(url: &Url) -> String {
        let mut url = url.clone();
        // Both setters fail only for URLs that cannot carry a login.
        let _ = (url.set_username(""), url.set_password(None));
        url.set_query(None);
        url.as_str().trim_end_matches('/').to_owned()
    }

    /// Whether a url is that of an endpoint behind the gateway.
    pub fn is_endpoint(&self, url: &Url) -> bool {
        let origin = url.origin();
        let mut urls = self.endpoints().filter_map(|it| it.url.as_ref());
        origin != self.url.origin() && urls.any(|own| own.origin() == origin)
    }

    /// Reads the keys, files and proxies that it names, and takes the login out of its url. Relative paths count from `folder`. Fails if
    /// one cannot be read.
    pub fn resolve(&mut self, folder: &Path) -> Result<()> {
        Access::read(self, folder)
    }

    /// All pools, in order.
    pub fn pools(&self) -> impl Iterator<Item = &Pool> {
        self.models.iter().flat_map(|model| &model.pools)
    }

    /// All endpoints, in order.
    pub fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.pools().flat_map(|pool| &pool.endpoints)
    }

    /// The first model whose requests are split over two or more pools with a weight.
    pub fn canary(&self) -> Option<&Model> {
        let mut models = self.models.iter();
        models.find(|model| model.weighted_pools().count() >= 2)
    }

    /// The pool of the endpoint with this name.
    pub fn pool_of(&self, endpoint: &str) -> Option<&Pool> {
        self.pools()
            .find(|pool| pool.endpoints.iter().any(|e| e.name == endpoint))
    }

    /// The names of the objectives with the highest positive and the lowest negative priority.
    pub fn priority_classes(&self) -> Option<(&str, &str)> {
        let (interactive, highest) = self.objectives.iter().max_by_key(|(_, p)| **p)?;
        let (batch, lowest) = self.objectives.iter().min_by_key(|(_, p)| **p)?;
        (*highest >= 0 && *lowest < 0).then_some((interactive, batch))
    }
}
