//! The target: the addresses of a running stack, and the known facts about it. `--stack url` reads it; `up` prints it.

mod access;
pub mod address;
mod certificates;
mod parameters;
mod proxy;
mod secret;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use http::HeaderName;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};
use url::Url;

use crate::change::{Changes, Kind};
use crate::routed::{self, Routed, Weighted};
use crate::topology::{self, Topology};

pub use access::{Access, ApiKey, Revealed};
pub use address::Paths;
pub use certificates::{Certificates, Tls, read_certificates};
pub use parameters::Parameters;
pub use proxy::Proxy;
pub use secret::{HIDDEN, Secret, Source, from_env, from_file};

/// The header that names a request's InferenceObjective in GIE v1.5.0.
pub const GIE_OBJECTIVE_HEADER: &str = "x-gateway-inference-objective";

/// The response header that carries the name of the model server (llm-d-inference-sim, poolproof's model server).
pub const SERVED_BY_HEADER: &str = "x-inference-pod";

/// The longest request body that the reference gateway accepts; also agentgateway's default.
pub const BODY_LIMIT_BYTES: usize = 2 << 20;

/// The addresses of a stack that was built from a topology.
#[derive(Clone, Debug)]
pub struct Urls {
    /// The gateway.
    pub gateway: Url,
    /// The pools, in the order of the topology.
    pub pools: Vec<PoolUrls>,
}

/// The addresses of a pool.
#[derive(Clone, Debug)]
pub struct PoolUrls {
    /// The `/metrics` of the endpoint picker.
    pub epp_metrics: Url,
    /// The model servers, in the order of their names.
    pub endpoints: Vec<Url>,
}

impl Urls {
    /// Unreachable addresses, for planning.
    pub fn nowhere(topology: &Topology) -> Result<Self> {
        let nowhere = Url::parse("http://127.0.0.1:9")?;
        let pools = topology.pools().map(|pool| PoolUrls {
            epp_metrics: nowhere.clone(),
            endpoints: vec![nowhere.clone(); pool.endpoints],
        });
        Ok(Self {
            pools: pools.collect(),
            gateway: nowhere,
        })
    }
}

/// A running stack, as far as a client can know it. Read from TOML; unknown fields are errors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// The name in reports [default: the address of the gateway].
    #[serde(default)]
    pub name: String,
    /// The address of the gateway. A path and a query are kept in every request; `/v1` at its end is not repeated. A login,
    /// `http://user:password@host`, is sent as basic authentication.
    #[serde(deserialize_with = "with_scheme")]
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
    /// The served models.
    pub models: Vec<Model>,
    /// InferenceObjectives by name, with their priority; higher goes first.
    #[serde(default)]
    pub objectives: BTreeMap<String, i32>,
}

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

/// Reads a URL. The error of one without a scheme names the two that exist, and not its text, which may have a password.
fn with_scheme<'de, D: Deserializer<'de>>(from: D) -> Result<Url, D::Error> {
    let text = String::deserialize(from)?;
    let has_scheme = text.starts_with("http://") || text.starts_with("https://");
    match Url::parse(&text) {
        Ok(url) if has_scheme => Ok(url),
        Err(error) if has_scheme => Err(de::Error::custom(format!("`url`: {error}"))),
        _ => Err(de::Error::custom(
            "`url` must start with http:// or https://, such as http://127.0.0.1:8000",
        )),
    }
}

fn gie_objective_header() -> String {
    GIE_OBJECTIVE_HEADER.to_owned()
}

/// The default header in which model servers name themselves.
pub fn served_by_header() -> Option<String> {
    Some(SERVED_BY_HEADER.to_owned())
}

impl Target {
    /// The target of a stack that was built from a topology. It has the topology's name and accepts no changes.
    /// `control_path` is the path of the control API of model servers, if they have one.
    pub fn of_topology(
        topology: &Topology,
        urls: Urls,
        body_limit_bytes: Option<usize>,
        control_path: Option<&str>,
    ) -> Result<Self> {
        let mut urls_of_pools = urls.pools.into_iter();
        let mut pool = |pool: &topology::Pool| {
            let urls = urls_of_pools.next();
            let urls = urls.with_context(|| format!("pool {:?} has no addresses", pool.name))?;
            let endpoints = pool.endpoint_names().zip(urls.endpoints);
            let endpoints = endpoints.map(|(name, url)| {
                let control = control_path.map(|path| url.join(path)).transpose()?;
                Ok(Endpoint {
                    name,
                    url: Some(url),
                    control,
                })
            });
            Ok(Pool {
                name: pool.name.clone(),
                weight: pool.weight,
                epp_metrics: Some(urls.epp_metrics),
                flow_control: Some(pool.flow_control),
                fair_flows: Some(pool.flow_control),
                // Every picker that a stack of ours starts has GIE's default scorers.
                prefix_affinity: Some(true),
                held_ttl_ms: pool.flow_control.then_some(pool.held_ttl_ms),
                max_in_flight: pool.max_in_flight.filter(|_| pool.flow_control),
                held_max: if pool.flow_control {
                    pool.held_max.clone()
                } else {
                    BTreeMap::new()
                },
                endpoints: endpoints.collect::<Result<_>>()?,
            })
        };
        let models = topology.models.iter().map(|model| {
            Ok(Model {
                name: model.name.clone(),
                adapters: model.adapters.clone(),
                request_timeout_ms: model.request_timeout_ms,
                pools: model.pools.iter().map(&mut pool).collect::<Result<_>>()?,
            })
        });
        Ok(Self {
            models: models.collect::<Result<_>>()?,
            body_limit_bytes,
            objectives: topology.objectives.clone(),
            ..Self::at(topology.name.clone(), urls.gateway)
        })
    }

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
            models: Vec::new(),
            objectives: BTreeMap::new(),
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

    /// A target for planning, as a stack of reference parts would have it. Its addresses are unreachable.
    pub fn planned(topology: &Topology) -> Result<Self> {
        let urls = Urls::nowhere(topology)?;
        let changes = Changes {
            url: urls.gateway.clone(),
            kinds: Kind::ALL.into(),
        };
        let limit = Some(BODY_LIMIT_BYTES);
        let mut target = Self::of_topology(topology, urls, limit, Some("/poolproof"))?;
        target.changes = Some(changes);
        Ok(target)
    }

    /// Reads a target from a TOML file and checks it.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("reading target file {}", path.display()))?;
        let read = || -> Result<Self> {
            let target: Self =
                toml::from_str(&text).map_err(|error| without_line(&error, &text))?;
            let mut target = target.named();
            target.check()?;
            target.resolve(path.parent().unwrap_or(Path::new("")))?;
            Ok(target)
        };
        read().with_context(|| format!("target file {}", path.display()))
    }

    /// Reads the keys, files and proxies that it names, and takes the login out of its url. Relative paths count from `folder`. Fails if
    /// one cannot be read.
    pub fn resolve(&mut self, folder: &Path) -> Result<()> {
        Access::read(self, folder)
    }

    /// With the default name, if it has none.
    fn named(mut self) -> Self {
        if self.name.is_empty() {
            self.name = Self::name_of(&self.url);
        }
        self
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

    fn check(&self) -> Result<()> {
        ensure!(
            self.url.scheme() == "http" || self.url.scheme() == "https",
            "`url` must start with http:// or https://"
        );
        let objective = ("objective_header", Some(&self.objective_header));
        for (field, header) in [
            objective,
            ("served_by_header", self.served_by_header.as_ref()),
        ] {
            ensure!(
                header.is_none_or(|name| name.parse::<HeaderName>().is_ok()),
                "`{field}` is {:?}: it must be the name of an HTTP header",
                header.map_or("", String::as_str)
            );
        }
        self.parameters.check().context("`parameters`")?;
        routed::check(&self.models)?;
        let mut names = BTreeSet::new();
        for endpoint in self.endpoints() {
            ensure!(
                names.insert(&endpoint.name),
                "`endpoints`: duplicate name {:?}",
                endpoint.name
            );
        }
        Ok(())
    }
}

/// A message of a parser without the value that it refuses: texts in double quotes behind `string` or a colon. Names of fields are in
/// backticks.
fn without_values(message: &str) -> String {
    let starts = ["string \"", ": \""].into_iter();
    let starts = starts.filter_map(|start| Some(message.find(start)? + start.len() - 1));
    let Some(start) = starts.min() else {
        return message.to_owned();
    };
    let rest = message.find("\", expected").map(|end| &message[end + 1..]);
    format!("{}{HIDDEN}{}", &message[..start], rest.unwrap_or_default())
}

/// An error of the file with the number and the field of its line, and without its value, which may be a key or a password.
fn without_line(error: &toml::de::Error, text: &str) -> anyhow::Error {
    let before = error.span().and_then(|span| text.get(..span.start));
    let number = before.map_or(0, |before| before.matches('\n').count());
    let field = text.lines().nth(number).and_then(|line| {
        let name = line.split_once('=')?.0.trim();
        let is_name = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        (!name.is_empty() && name.chars().all(is_name)).then_some(name)
    });
    let field = field.map_or_else(String::new, |name| format!(", `{name}`"));
    let line = number + 1;
    let message = without_values(error.message());
    let message = message.replace(
        "relative URL without a base",
        "a url must start with http:// or https://",
    );
    anyhow::anyhow!("line {line}{field}: {message}")
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const EXAMPLE: &str = r#"
        name = "my-gateway"
        url = "http://127.0.0.1:8081"

        [[models]]
        name = "model-a"
        [[models.pools]]
        name = "model-a"
        weight = 100
        flow_control = true
        [[models.pools.endpoints]]
        name = "sim-a-0"
        url = "http://127.0.0.1:8001"

        [objectives]
        interactive = 10
        batch = -10
    "#;

    #[test]
    fn an_example_is_read_and_written_back() {
        let target: Target = toml::from_str(EXAMPLE).unwrap();
        target.check().unwrap();
        assert_eq!(target.objective_header, GIE_OBJECTIVE_HEADER);
        assert_eq!(target.priority_classes(), Some(("interactive", "batch")));
        let again: Target = toml::from_str(&toml::to_string(&target).unwrap()).unwrap();
        assert_eq!(again, target);
    }

    #[test]
    fn an_unknown_field_is_named() {
        let text = EXAMPLE.replace("weight = 100", "wait = 100");
        let message = toml::from_str::<Target>(&text).unwrap_err().to_string();
        assert!(message.contains("unknown field `wait`"), "{message}");
    }

    #[test]
    fn a_name_and_a_weight_have_defaults() {
        let text = "url = 'http://me:secret@127.0.0.1:1/'\n[[models]]\nname = 'm'\npools = [{ name = 'p' }]";
        let target = toml::from_str::<Target>(text).unwrap().named();
        assert_eq!(target.name, "http://127.0.0.1:1");
        assert_eq!(target.models[0].pools[0].weight, 1);
    }

    #[test]
    fn an_address_without_a_scheme_is_refused_with_the_schemes_and_without_its_text() {
        for url in [
            "127.0.0.1:8000",
            "localhost:8000",
            "me:secret@host:1",
            "ftp://h",
        ] {
            let text = EXAMPLE.replace("http://127.0.0.1:8081", url);
            let message = toml::from_str::<Target>(&text).unwrap_err();
            let message = message.message();
            assert!(message.contains("http:// or https://"), "{message}");
            assert!(!message.contains("secret"), "{message}");
        }
    }

    #[test]
    fn a_message_has_no_value_of_the_file() {
        for (message, shown) in [
            (
                "unknown field `wait`, expected `a`",
                "unknown field `wait`, expected `a`",
            ),
            (
                "invalid type: string \"k\\\"y\", expected struct ApiKey",
                "invalid type: string (hidden), expected struct ApiKey",
            ),
            ("empty host: \"http://u:p@\"", "empty host: (hidden)"),
            ("must be { env = \"NAME\" }", "must be { env = \"NAME\" }"),
        ] {
            assert_eq!(without_values(message), shown);
        }
    }

    #[test]
    fn a_model_without_pools_is_refused() {
        let target: Target =
            toml::from_str("name='g'\nurl='http://127.0.0.1:1'\n[[models]]\nname='m'").unwrap();
        let message = target.check().unwrap_err().to_string();
        assert!(
            message.contains("\"m\"") && message.contains("`pools`"),
            "{message}"
        );
    }
}
