//! The text of a target file, with a comment for each field, and for those that are missing.

use std::collections::BTreeSet;

use anyhow::{Context, Result};

use crate::target::Target;

/// A field of a target file.
struct Field {
    /// The table that it stands in; empty for the top.
    table: &'static str,
    key: &'static str,
    /// What it is for.
    comment: &'static str,
    /// A value, for a file that lacks the field; empty if it always has it.
    example: &'static str,
}

const fn field(
    table: &'static str,
    key: &'static str,
    comment: &'static str,
    example: &'static str,
) -> Field {
    Field {
        table,
        key,
        comment,
        example,
    }
}

const MODELS: &str = "models";
const POOLS: &str = "models.pools";
const ENDPOINTS: &str = "models.pools.endpoints";
const OBJECTIVES: &str = "objectives";
const METRICS: &str = "metrics";

const FIELDS: &[Field] = &[
    field("", "name", "the name in reports", ""),
    field("", "url", "the gateway, without the path of the API", ""),
    field(
        "",
        "api_key",
        "sent as `Authorization: Bearer KEY`; { file = \"PATH\" } reads a file",
        "{ env = \"API_KEY\" }",
    ),
    field(
        "",
        "headers",
        "of every request; { env = \"NAME\" } and { file = \"PATH\" } hold secrets",
        "{ host = \"models.example.com\" }",
    ),
    field(
        "",
        "objective_header",
        "names the InferenceObjective of a request; of llm-d: x-llm-d-inference-objective",
        "",
    ),
    field(
        "",
        "served_by_header",
        "of answers: the endpoint that served, by name, address or url, such as Envoy's %UPSTREAM_HOST%",
        "\"x-inference-pod\"",
    ),
    field(
        "",
        "body_limit_bytes",
        "the longest request body that the gateway accepts",
        "2097152",
    ),
    field(MODELS, "name", "the value of `model` in requests", ""),
    field(
        MODELS,
        "adapters",
        "LoRA adapters that are served under names of their own",
        "[\"billsum\"]",
    ),
    field(
        MODELS,
        "request_timeout_ms",
        "how long its route lets a request take (`timeouts.request`)",
        "2000",
    ),
    field(
        MODELS,
        "rewrites",
        "names that its picker replaces in requests, each by served ones with their weights",
        "{ any = { stable = 90, next = 10 } }",
    ),
    field(POOLS, "name", "the InferencePool", ""),
    field(
        POOLS,
        "weight",
        "its weight among the pools of the model",
        "",
    ),
    field(
        POOLS,
        "epp_metrics",
        "the metrics of its endpoint picker: more evidence",
        "\"http://127.0.0.1:9090/metrics\"",
    ),
    field(
        POOLS,
        "flow_control",
        "whether its picker queues by priority",
        "false",
    ),
    field(
        POOLS,
        "fair_flows",
        "whether held flows of one priority take turns",
        "false",
    ),
    field(
        POOLS,
        "prefix_affinity",
        "whether its picker scores prefixes",
        "true",
    ),
    field(
        POOLS,
        "session_header",
        "of answers: a token that keeps a client at its endpoint; of llm-d: x-session-token",
        "\"x-session-token\"",
    ),
    field(
        POOLS,
        "held_ttl_ms",
        "how long its picker holds a request before it refuses it",
        "60000",
    ),
    field(
        POOLS,
        "max_in_flight",
        "requests in progress at each endpoint that fill the pool, if its picker counts them",
        "8",
    ),
    field(
        POOLS,
        "held_max",
        "how many requests its picker holds in the priority of an objective",
        "{ batch = 250 }",
    ),
    field(
        ENDPOINTS,
        "name",
        "the value of `served_by_header`",
        "\"pod-0\"",
    ),
    field(
        ENDPOINTS,
        "url",
        "past the gateway: for ballast, and for its counters",
        "\"http://127.0.0.1:8001\"",
    ),
    field(
        ENDPOINTS,
        "control",
        "the control API of a model server of poolproof",
        "",
    ),
    field(
        OBJECTIVES,
        "interactive",
        "InferenceObjectives with their priority, higher goes first",
        "10",
    ),
    field(OBJECTIVES, "batch", "", "-10"),
    field(
        METRICS,
        "name",
        "further metrics that a load run follows, by their name in reports",
        "\"gpus of node 1\"",
    ),
    field(
        METRICS,
        "url",
        "such as those of NVIDIA's dcgm-exporter",
        "\"http://127.0.0.1:9400/metrics\"",
    ),
];

impl Target {
    /// The text of its file. `notes` stand above it.
    pub fn to_file(&self, notes: &[String]) -> Result<String> {
        let plain = toml::to_string(self).context("writing the target")?;
        let mut text = String::new();
        for note in notes {
            text += &format!("# {}\n", note.replace(char::is_control, " "));
        }
        let mut commented = tables(&plain);
        let mut table = "";
        let mut keys = BTreeSet::new();
        for line in plain.lines() {
            if line.starts_with('[') {
                text += &missing(table, &keys, &mut commented);
                let next = line.trim_matches(['[', ']']);
                if table == POOLS && next != ENDPOINTS {
                    text += &endpoints(&mut commented);
                }
                (table, keys) = (next, BTreeSet::new());
                text += &format!("\n{line}\n");
                continue;
            }
            let Some((key, _)) = line.split_once(" = ") else {
                continue;
            };
            keys.insert(key);
            let comment = FIELDS
                .iter()
                .find(|field| (field.table, field.key) == (table, key));
            let comment = comment.filter(|field| commented.insert((field.table, field.key)));
            text += line;
            if let Some(field) = comment {
                text += &format!("  # {}", field.comment);
            }
            text.push('\n');
        }
        text += &missing(table, &keys, &mut commented);
        if table == POOLS {
            text += &endpoints(&mut commented);
        }
        if self.metrics.is_empty() {
            text += &format!("\n# [[{METRICS}]]\n");
            text += &missing(METRICS, &BTreeSet::new(), &mut commented);
        }
        Ok(text)
    }
}

/// The fields that have tables of their own, which stand below.
fn tables(plain: &str) -> BTreeSet<(&'static str, &'static str)> {
    let heads = plain.lines().filter(|line| line.starts_with('['));
    let heads: BTreeSet<&str> = heads.map(|line| line.trim_matches(['[', ']'])).collect();
    let path = |field: &Field| format!("{}.{}", field.table, field.key);
    let fields = FIELDS
        .iter()
        .filter(|field| heads.contains(path(field).trim_start_matches('.')));
    fields.map(|field| (field.table, field.key)).collect()
}

/// Fields that a table lacks, as comments; those of each kind of table once.
fn missing(
    table: &str,
    keys: &BTreeSet<&str>,
    commented: &mut BTreeSet<(&'static str, &'static str)>,
) -> String {
    let of_table = FIELDS.iter().filter(|field| field.table == table);
    // Names of objectives are the user's own.
    let lacks = of_table.filter(|field| match table {
        OBJECTIVES => keys.is_empty(),
        _ => !keys.contains(field.key) && !field.example.is_empty(),
    });
    lacks
        .filter(|field| commented.insert((field.table, field.key)))
        .map(example)
        .collect()
}

/// An example of an endpoint, for a pool without any.
fn endpoints(commented: &mut BTreeSet<(&'static str, &'static str)>) -> String {
    let fields = missing(ENDPOINTS, &BTreeSet::new(), commented);
    if fields.is_empty() {
        return fields;
    }
    format!("# [[{ENDPOINTS}]]\n{fields}")
}

fn example(field: &Field) -> String {
    let comment = match field.comment {
        "" => String::new(),
        comment => format!("  # {comment}"),
    };
    format!("# {} = {}{comment}\n", field.key, field.example)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::target::{Model, Pool};
    use crate::topology::Topology;

    fn read(text: &str) -> Target {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn the_file_of_any_target_is_that_target_and_has_each_comment_once() {
        let full = Target::planned(&Topology::default()).unwrap();
        let mut least = Target::at("g".to_owned(), "http://127.0.0.1:1".parse().unwrap());
        least.served_by_header = None;
        let model = |name: &str| Model {
            request_timeout_ms: None,
            name: name.to_owned(),
            adapters: Vec::new(),
            rewrites: Default::default(),
            pools: vec![Pool {
                name: format!("a = [b] # {name}"),
                weight: 1,
                ..Pool::default()
            }],
        };
        least.models = vec![model("one"), model("t\"w\"o")];
        for target in [full, least] {
            let text = target.to_file(&["found by\nasking".to_owned()]).unwrap();
            let mut read = read(&text);
            if target.served_by_header.is_none() {
                // A file without the field has the default.
                read.served_by_header = None;
            }
            assert_eq!(read, target, "{text}");
            assert!(text.starts_with("# found by asking\n"), "{text}");
            for field in FIELDS.iter().filter(|field| !field.comment.is_empty()) {
                let count = text.matches(&format!("# {}", field.comment)).count();
                assert!(count <= 1, "{}: {text}", field.key);
            }
        }
    }

    #[test]
    fn what_is_missing_can_be_switched_on_by_taking_the_comment_off() {
        let mut target = Target::at("g".to_owned(), "http://127.0.0.1:1".parse().unwrap());
        target.models = vec![Model {
            request_timeout_ms: None,
            name: "m".to_owned(),
            adapters: Vec::new(),
            rewrites: Default::default(),
            pools: vec![Pool {
                name: "p".to_owned(),
                weight: 1,
                ..Pool::default()
            }],
        }];
        let text = target.to_file(&[]).unwrap();
        let read = read(&text.replace("\n# ", "\n"));
        let pool = &read.models[0].pools[0];
        assert_eq!(pool.endpoints[0].name, "pod-0", "{text}");
        assert_eq!(
            (pool.flow_control, pool.prefix_affinity),
            (Some(false), Some(true))
        );
        assert_eq!(read.priority_classes(), Some(("interactive", "batch")));
        assert_eq!(read.models[0].adapters, ["billsum"]);
    }
}
