//! A workload: what is sent, when, for how long, and the objectives for the responses. Read from TOML; poolproof ships
//! a set of workloads.

mod arrival;
mod check;
pub mod dataset;
mod distribution;
mod http;
mod media;
#[cfg(test)]
mod properties;
mod series;
mod shipped;
pub mod slo;
pub mod trace;
mod words;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use arrival::{Arrival, Stage};
pub use dataset::Dataset;
pub use distribution::{Count, Distribution, Seconds};
pub use http::Http;
pub use media::{Images, Picture, Tools};
pub use series::Series;
pub use shipped::{QUICK, SHIPPED};

use crate::api::Api;
use crate::target::{Parameters, remember};
use crate::topology::Topology;
use slo::{Metric, Slo};
use trace::Trace;

/// A workload file. Unknown keys are errors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// What a run of it shows, in prose.
    pub shows: String,
    /// How long requests are sent, in seconds, including the warm-up. If absent, the duration of the stages or the
    /// trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_s: Option<f64>,
    /// Requests due during this time, in seconds, are sent but not counted.
    #[serde(default)]
    pub warm_up_s: f64,
    /// The longest wait for the end of a response, in seconds.
    #[serde(default = "default_timeout_s")]
    pub timeout_s: f64,
    /// The HTTP version.
    #[serde(default)]
    pub http: Http,
    /// Whether each request opens a new connection.
    #[serde(default)]
    pub new_connections: bool,
    /// Whether deviations from the OpenAI API that the common SDKs accept are failures. If not, they are counted as remarks.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub strict: bool,
    /// Parameters of request bodies that the servers name differently or refuse, in place of those of the target.
    #[serde(default, skip_serializing_if = "Parameters::are_default")]
    pub parameters: Parameters,
    /// The topology of a stack that is started for this workload [default: the default topology]. An existing target is
    /// used as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topology: Option<Topology>,
    /// The user's own prompts [default: generated ones].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<Dataset>,
    /// When requests are due.
    pub arrival: Arrival,
    /// The classes of requests.
    pub mix: Vec<Class>,
    /// The objectives for the responses.
    #[serde(default, rename = "slo", skip_serializing_if = "Vec::is_empty")]
    pub slos: Vec<Slo>,
}

/// One class of requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Class {
    /// Its name in the report.
    pub class: String,
    /// Its share of the requests, relative to the shares of the other classes.
    #[serde(default = "one")]
    pub share: f64,
    /// The model [default: the first one of the target].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// LoRA adapters of the model. Each request, or each session, names one of them as its model. If absent, none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub adapters: Vec<String>,
    /// The InferenceObjective of its requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objective: Option<String>,
    /// The API.
    #[serde(default)]
    pub api: Api,
    /// Whether responses are streamed.
    #[serde(default = "yes")]
    pub stream: bool,
    /// Tokens of a prompt; in a session, the tokens that each turn adds to it. Of embeddings and rerank, tokens of each text.
    pub input_tokens: Count,
    /// Tokens of a response. Embeddings and rerank have none.
    #[serde(default = "none", skip_serializing_if = "is_none")]
    pub output_tokens: Count,
    /// Texts of a request for embeddings [default: 1], or documents of a request for rerank [default: 10].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<Count>,
    /// Tokens of the query of a request for rerank [default: 16].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query_tokens: Option<Count>,
    /// Images beside the text of each prompt. If absent, none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<Images>,
    /// Tools that each request defines. If absent, none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<Tools>,
    /// Prefixes that prompts share; in a session, its system prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared_prefix: Option<SharedPrefix>,
    /// Additional headers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Additional keys of the body, such as `temperature`.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub body: serde_json::Map<String, serde_json::Value>,
}

impl Class {
    /// Whether its responses are streamed.
    pub fn streams(&self) -> bool {
        self.stream && self.api.generates()
    }

    /// The texts of a request for embeddings, or the documents of one for rerank.
    pub fn inputs(&self) -> Count {
        let default = if self.api == Api::Rerank { 10 } else { 1 };
        self.inputs.unwrap_or(Count::Fixed(default))
    }

    /// The tokens of the query of a request for rerank.
    pub fn query_tokens(&self) -> Count {
        self.query_tokens.unwrap_or(Count::Fixed(16))
    }
}

/// Prompts that begin with one of a few texts, as with system prompts or documents.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SharedPrefix {
    /// The number of such texts.
    pub groups: u32,
    /// The tokens of each text.
    pub tokens: u32,
}

fn default_timeout_s() -> f64 {
    60.0
}

fn one() -> f64 {
    1.0
}

fn none() -> Count {
    Count::Fixed(0)
}

fn is_none(count: &Count) -> bool {
    *count == none()
}

fn yes() -> bool {
    true
}

/// The longest run, in seconds: a week.
const DURATION_MAX_S: f64 = 7.0 * 86_400.0;

/// The time from the last request of a trace to the end of its run, in seconds.
const TRACE_END_S: f64 = 0.001;

impl Workload {
    /// Loads a shipped workload by its name, or a workload file, with its trace if it has one.
    pub fn load(name: &str) -> Result<(Self, Option<Trace>)> {
        let path = Path::new(name);
        let shipped = SHIPPED.iter().find(|(shipped, _)| *shipped == name);
        let (what, text) = match shipped {
            Some((name, text)) => (format!("workload {name}"), (*text).to_owned()),
            None if name.contains(['/', '.']) => (
                format!("workload file {name}"),
                std::fs::read_to_string(path)
                    .with_context(|| format!("reading workload file {name}"))?,
            ),
            None => {
                let names: Vec<&str> = SHIPPED.iter().map(|(name, _)| *name).collect();
                bail!(
                    "unknown workload {name:?}: must be one of {}, or a file path with a dot or a slash",
                    names.join(", ")
                );
            }
        };
        let mut workload: Self = toml::from_str(&text).with_context(|| what.clone())?;
        workload.check().with_context(|| what.clone())?;
        let headers = workload.mix.iter().flat_map(|class| class.headers.values());
        headers.for_each(|value| remember(value));
        let folder = path.parent().unwrap_or(Path::new(""));
        // The record, and a file that is written, must find images from any folder.
        for images in workload.mix.iter_mut().filter_map(|it| it.images.as_mut()) {
            if let Some(own) = &mut images.folder {
                *own = std::path::absolute(folder.join(&*own)).with_context(|| what.clone())?;
            }
        }
        let trace = workload.data(folder);
        Ok((workload, trace.with_context(|| what)?))
    }

    /// Reads the trace or the dataset, if it has one. A relative path counts from `folder`.
    pub fn data(&self, folder: &Path) -> Result<Option<Trace>> {
        let mut pictures: Vec<Picture> = Vec::new();
        for images in self.mix.iter().filter_map(|class| class.images.as_ref()) {
            let is_known = |it: &Picture| Some(&it.folder) == images.folder.as_ref();
            if !pictures.iter().any(is_known) {
                pictures.extend(images.load(folder)?);
            }
        }
        let mut trace = match (&self.arrival, &self.dataset) {
            (Arrival::Trace { file }, _) => Trace::load(&folder.join(file))?,
            (_, Some(dataset)) => Trace {
                prompts: dataset.load(folder)?,
                ..Trace::default()
            },
            _ if !pictures.is_empty() => Trace::default(),
            _ => return Ok(None),
        };
        trace.pictures = pictures;
        let end_s = self.end_s(Some(&trace));
        ensure!(
            end_s <= DURATION_MAX_S,
            "its trace lasts {end_s} s: give a `duration_s` of {DURATION_MAX_S} at most"
        );
        Ok(Some(trace))
    }

    /// The end of the arrivals, in seconds from the start.
    pub fn end_s(&self, trace: Option<&Trace>) -> f64 {
        let of_trace = || Some(trace?.rows.last()?.at_ms / 1000.0 + TRACE_END_S);
        let given = self.duration_s.or(self.arrival.duration_s());
        given.or_else(of_trace).unwrap_or(0.0)
    }

    /// The objectives that are judged: those of the file, and by default a limit on failures.
    pub fn judged(&self) -> Vec<Slo> {
        let mut slos = self.slos.clone();
        if slos.iter().all(|slo| slo.metric != Metric::FAILED) {
            slos.push(Slo::few_failures());
        }
        slos
    }

    /// The smallest number of requests with which every objective can be shown to be met.
    pub fn requests_min(&self) -> f64 {
        let all: f64 = self.mix.iter().map(|class| class.share).sum();
        let needed = self.judged().into_iter().map(|slo| {
            let own = self.mix.iter().filter(|class| slo.is_about(&class.class));
            let share = own.map(|class| class.share).sum::<f64>() / all;
            slo.observations_min() as f64 / share
        });
        needed.fold(1.0, f64::max)
    }

    /// The time limits of the objectives for this class, for any percentile. A good request meets those on whole
    /// responses ([`Series::is_per_answer`]).
    pub fn limits(&self, class: &str) -> Vec<(Series, Duration)> {
        let own = self.slos.iter().filter(|slo| slo.is_about(class));
        own.filter_map(|slo| Some((slo.metric.series()?, slo.at_most()?)))
            .collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn shipped_workloads_are_valid_and_have_a_description() {
        for (name, _) in SHIPPED {
            let (workload, _) = Workload::load(name).unwrap();
            assert!(workload.shows.len() > 80, "{name}");
            assert!(!workload.slos.is_empty(), "{name}");
        }
    }

    const EXAMPLE: &str = r#"
        shows = "an example"
        duration_s = 10
        arrival = { process = "constant", rate_per_s = 5 }
        [[mix]]
        class = "chat"
        input_tokens = 10
        output_tokens = { from = 1, to = 9 }
        [[slo]]
        metric = "ttft"
        percentile = 50
        at_most_ms = 100
    "#;

    #[test]
    fn invalid_workloads_are_refused_by_name() {
        let refused = |from: &str, to: &str| {
            assert!(EXAMPLE.contains(from), "{from}");
            let parsed = toml::from_str::<Workload>(&EXAMPLE.replace(from, to));
            let checked = parsed
                .map_err(anyhow::Error::from)
                .and_then(|workload| workload.check());
            format!("{:#}", checked.unwrap_err())
        };
        toml::from_str::<Workload>(EXAMPLE)
            .unwrap()
            .check()
            .unwrap();
        for (from, to, named) in [
            ("duration_s = 10", "duration = 10", "duration"),
            ("duration_s = 10", "", "duration_s"),
            (
                "duration_s = 10",
                "duration_s = 10\nwarm_up_s = 10",
                "warm_up_s",
            ),
            ("rate_per_s = 5", "rate_per_s = 0", "rate_per_s"),
            ("\"constant\"", "\"steady\"", "steady"),
            (
                "input_tokens = 10",
                "input_tokens = { of = 3 }",
                "{ from, to }",
            ),
            (
                "input_tokens = 10",
                "input_tokens = 10\nbody = { model = 1 }",
                "model",
            ),
            (
                "input_tokens = 10",
                "input_tokens = 10\nheaders = { \"a b\" = \"c\" }",
                "a b",
            ),
            ("metric = \"ttft\"", "metric = \"latency\"", "latency"),
            ("percentile = 50", "percentile = 100", "percentile"),
            (
                "metric = \"ttft\"",
                "metric = \"ttft\"\nclass = \"batch\"",
                "batch",
            ),
        ] {
            let message = refused(from, to);
            assert!(message.contains(named), "{named}: {message}");
        }
    }

    #[test]
    fn the_example_of_the_readme_is_valid() {
        let readme = include_str!("../../../load/README.md");
        let example = readme
            .split("```toml\n")
            .find(|block| block.starts_with("shows ="));
        let (example, _) = example.unwrap().split_once("```").unwrap();
        toml::from_str::<Workload>(example)
            .unwrap()
            .check()
            .unwrap();
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_list_of_shipped_workloads() {
        let message = Workload::load("steady").unwrap_err().to_string();
        assert!(message.contains("steady-chat"), "{message}");
    }
}
