//! A workload: what is sent, when, for how long, and the objectives for the responses. Read from TOML; poolproof ships
//! a set of workloads.

mod arrival;
mod distribution;
mod series;
mod shipped;
pub mod slo;
pub mod trace;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use arrival::{Arrival, Stage};
pub use distribution::{Count, Distribution, Seconds};
pub use series::Series;
pub use shipped::SHIPPED;

use crate::api::Api;
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
    /// The topology of a stack that is started for this workload [default: the default topology]. An existing target is
    /// used as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topology: Option<Topology>,
    /// When requests are due.
    pub arrival: Arrival,
    /// The classes of requests.
    pub mix: Vec<Class>,
    /// The objectives for the responses.
    #[serde(default, rename = "slo", skip_serializing_if = "Vec::is_empty")]
    pub slos: Vec<Slo>,
}

/// An HTTP version. Without TLS, HTTP/2 uses prior knowledge (RFC 9113, section 3.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Http {
    /// HTTP/1.1: one connection per open request.
    #[default]
    #[serde(rename = "1.1")]
    One,
    /// HTTP/2: up to a hundred requests share a connection.
    #[serde(rename = "2")]
    Two,
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
    /// Tokens of a prompt; in a session, the tokens that each turn adds to it.
    pub input_tokens: Count,
    /// Tokens of a response.
    pub output_tokens: Count,
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

fn yes() -> bool {
    true
}

/// Keys of the body that poolproof writes itself.
const OWN_KEYS: [&str; 7] = [
    "model",
    "messages",
    "prompt",
    "max_tokens",
    "ignore_eos",
    "stream",
    "stream_options",
];

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
        let workload: Self = toml::from_str(&text).with_context(|| what.clone())?;
        workload.check().with_context(|| what.clone())?;
        let trace = match &workload.arrival {
            Arrival::Trace { file } => {
                let folder = path.parent().unwrap_or(Path::new(""));
                Some(Trace::load(&folder.join(file)).with_context(|| what.clone())?)
            }
            _ => None,
        };
        let end_s = workload.end_s(trace.as_ref());
        ensure!(
            end_s <= DURATION_MAX_S,
            "{what}: its trace lasts {end_s} s: give a `duration_s` of {DURATION_MAX_S} at most"
        );
        Ok((workload, trace))
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

    /// Fails on invalid values, with the name of the key.
    pub fn check(&self) -> Result<()> {
        self.arrival.check()?;
        if let Some(topology) = &self.topology {
            topology.check().context("topology")?;
        }
        for (name, seconds) in [
            (
                "duration_s",
                self.duration_s.or(self.arrival.duration_s()).unwrap_or(1.0),
            ),
            ("timeout_s", self.timeout_s),
        ] {
            ensure!(
                seconds > 0.0 && seconds <= DURATION_MAX_S,
                "`{name}` is {seconds}: must be above 0, and {DURATION_MAX_S} at most"
            );
        }
        match &self.arrival {
            Arrival::Stages { .. } => ensure!(
                self.duration_s.is_none(),
                "`duration_s` and `arrival.stages` both set the duration: leave `duration_s` out"
            ),
            Arrival::Trace { .. } => {}
            _ => ensure!(
                self.duration_s.is_some(),
                "`duration_s` is missing: how long requests are sent, in seconds"
            ),
        }
        let duration_s = self.duration_s.or(self.arrival.duration_s());
        ensure!(
            (0.0..duration_s.unwrap_or(DURATION_MAX_S)).contains(&self.warm_up_s),
            "`warm_up_s` is {}: must be 0 or more, and less than the duration",
            self.warm_up_s
        );
        ensure!(
            !self.mix.is_empty(),
            "`mix` is empty: at least one [[mix]] is needed"
        );
        for (number, class) in self.mix.iter().enumerate() {
            class
                .check(self.arrival.holds_sessions())
                .with_context(|| format!("mix: class {:?}", class.class))?;
            let before = &self.mix[..number];
            ensure!(
                before.iter().all(|other| other.class != class.class),
                "mix: duplicate class {:?}",
                class.class
            );
        }
        for (number, slo) in self.slos.iter().enumerate() {
            slo.check(&self.mix)
                .with_context(|| format!("slo {}", number + 1))?;
        }
        Ok(())
    }
}

impl Class {
    fn check(&self, in_sessions: bool) -> Result<()> {
        ensure!(
            self.api == Api::Chat || !in_sessions,
            "`api` must be \"chat\" in a workload with sessions"
        );
        ensure!(
            self.share > 0.0 && self.share.is_finite(),
            "`share` is {}: must be above 0",
            self.share
        );
        self.input_tokens.check("input_tokens")?;
        self.output_tokens.check("output_tokens")?;
        if let Some(shared) = self.shared_prefix {
            ensure!(
                shared.groups > 0 && (1..=1 << 20).contains(&shared.tokens),
                "`shared_prefix`: `groups` must be at least 1, `tokens` 1 to 1,048,576"
            );
        }
        for (name, value) in &self.headers {
            ensure!(
                name.parse::<http::HeaderName>().is_ok()
                    && value.parse::<http::HeaderValue>().is_ok(),
                "`headers`: {name:?} cannot be sent as a header with this value"
            );
        }
        if let Some(key) = self
            .body
            .keys()
            .find(|key| OWN_KEYS.contains(&key.as_str()))
        {
            bail!("`body`: {key:?} is set by poolproof itself");
        }
        Ok(())
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

#[cfg(test)]
mod properties {
    use super::*;
    use crate::property::config;
    use proptest::collection::{btree_map, vec};
    use proptest::option;
    use proptest::prelude::*;
    use proptest::sample::select;

    fn positive() -> impl Strategy<Value = f64> {
        prop_oneof![0.001..1000.0, Just(10.0), 1e-9..1e9]
    }

    fn count() -> impl Strategy<Value = Count> {
        prop_oneof![
            any::<u32>().prop_map(Count::Fixed),
            any::<(u32, u32)>().prop_map(|(from, to)| Count::Uniform { from, to }),
            (positive(), positive()).prop_map(|(median, p95)| Count::LogNormal { median, p95 }),
        ]
    }

    fn arrival() -> impl Strategy<Value = Arrival> {
        let stage = (positive(), positive()).prop_map(|(rate_per_s, duration_s)| Stage {
            rate_per_s,
            duration_s,
        });
        prop_oneof![
            positive().prop_map(|rate_per_s| Arrival::Poisson { rate_per_s }),
            (positive(), positive()).prop_map(|(rate_per_s, burstiness)| Arrival::Gamma {
                rate_per_s,
                burstiness
            }),
            vec(stage, 0..4).prop_map(|stages| Arrival::Stages { stages }),
            "[a-z/.]{1,8}".prop_map(|file| Arrival::Trace { file: file.into() }),
            (0_usize..99, 0_u64..99)
                .prop_map(|(users, think_ms)| Arrival::Closed { users, think_ms }),
            (0_usize..99, count(), positive()).prop_map(|(users, turns, think_s)| {
                Arrival::Sessions {
                    users,
                    turns,
                    think_time_s: Seconds::Fixed(think_s),
                }
            }),
        ]
    }

    fn class() -> impl Strategy<Value = Class> {
        let texts = || btree_map("[a-z]{1,6}|\\PC{0,6}", "\\PC{0,8}", 0..3);
        let prefix = option::of(any::<(u32, u32)>());
        let names = (
            "\\PC{0,8}",
            option::of("\\PC{0,8}"),
            vec("[a-z]{0,8}", 0..3),
        );
        let flags = (positive(), any::<bool>(), any::<bool>());
        (names, flags, count(), count(), prefix, texts(), texts()).prop_map(
            |(
                (class, model, adapters),
                (share, stream, chat),
                input_tokens,
                output_tokens,
                prefix,
                headers,
                body,
            )| Class {
                class,
                share,
                objective: model.clone(),
                model,
                adapters,
                api: if chat { Api::Chat } else { Api::Completions },
                stream,
                input_tokens,
                output_tokens,
                shared_prefix: prefix.map(|(groups, tokens)| SharedPrefix { groups, tokens }),
                headers,
                body: body
                    .into_iter()
                    .map(|(key, text)| (key, text.into()))
                    .collect(),
            },
        )
    }

    fn workload() -> impl Strategy<Value = Workload> {
        let times = (option::of(positive()), positive(), positive());
        let slo = (positive(), positive(), option::of("[a-z]{1,8}")).prop_map(
            |(percentile, at_most_ms, class)| Slo {
                class,
                metric: Metric::Time(Series::TtftFromSend),
                percentile: Some(percentile),
                at_most_ms: Some(at_most_ms),
                at_most: None,
                at_least: None,
            },
        );
        let topology = option::of(Just(Topology::default()));
        let flags = any::<(bool, bool)>();
        let parts = (arrival(), vec(class(), 0..3), vec(slo, 0..3), topology);
        ("\\PC{0,20}", times, flags, parts).prop_map(
            |(shows, (duration_s, warm_up_s, timeout_s), (two, new_connections), parts)| {
                let (arrival, mix, slos, topology) = parts;
                Workload {
                    shows,
                    duration_s,
                    warm_up_s,
                    timeout_s,
                    http: if two { Http::Two } else { Http::One },
                    new_connections,
                    topology,
                    arrival,
                    mix,
                    slos,
                }
            },
        )
    }

    /// A number as it may stand in a file, among them those that no duration can hold.
    fn number() -> impl Strategy<Value = &'static str> {
        let extremes = vec![
            "0",
            "-1",
            "1e-300",
            "1e-12",
            "99.99999999999999",
            "604800",
            "1e9",
            "1e20",
            "1e300",
            "inf",
            "nan",
            "9223372036854775807",
        ];
        prop_oneof![select(extremes), select(vec!["0.5", "1", "10", "60"])]
    }

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn any_text_does_no_harm(text in "([a-z\\[\\]=\"'{}., \n0-9]|\\PC){0,80}") {
            let _ = toml::from_str::<Workload>(&text).map(|workload| workload.check());
        }

        #[test]
        fn a_written_workload_is_read_back(workload in workload()) {
            let text = toml::to_string(&workload).map_err(|error| TestCaseError::fail(error.to_string()))?;
            let read: Workload = toml::from_str(&text).map_err(|error| TestCaseError::fail(error.to_string()))?;
            prop_assert_eq!(&read, &workload);
            // Either answer will do, as long as there is one.
            let _ = workload.check();
        }

        #[test]
        fn what_passes_the_check_can_be_planned(
            arrival in select(vec![
                "arrival = { process = 'ramp', from_per_s = RATE, to_per_s = RATE }\nduration_s = LASTS",
                "arrival = { process = 'stages', stages = [{ rate_per_s = RATE, duration_s = LASTS }] }",
                "arrival = { process = 'sessions', users = 1, turns = TOKENS, think_time_s = LASTS }\nduration_s = 10",
            ]),
            slo in select(vec!["metric = 'ttft'\npercentile = AT\nat_most_ms = LASTS", "metric = 'failed'\nat_most = AT"]),
            (rate, lasts, at, tokens, timeout) in (number(), number(), number(), number(), number()),
        ) {
            let text = format!("shows = ''\ntimeout_s = {timeout}\n{arrival}\n[[mix]]\nclass = 'c'\ninput_tokens = 1\n\
                                output_tokens = 1\n[[slo]]\n{slo}\n");
            let text = text.replace("RATE", rate).replace("LASTS", lasts).replace("AT", at).replace("TOKENS", tokens);
            let Ok(workload) = toml::from_str::<Workload>(&text) else {
                return Ok(());
            };
            if workload.check().is_ok() {
                let end = Duration::try_from_secs_f64(workload.end_s(None));
                prop_assert!(end.is_ok_and(|end| end.as_secs_f64() <= DURATION_MAX_S), "{}", workload.end_s(None));
                prop_assert!(workload.requests_min() >= 1.0);
                prop_assert!(workload.slos.iter().all(|slo| slo.observations_min() > 0));
                prop_assert!(workload.limits("c").len() <= 1);
            }
        }
    }
}
