//! The walls between crates: no crate reaches what it must not know, directly or through others.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

const KUBERNETES: &[&str] = &["kube", "k8s-openapi"];
const DOCKER: &[&str] = &["testcontainers", "bollard"];
const HARNESS: &[&str] = &[
    "poolproof-stats",
    "poolproof-model",
    "poolproof-property",
    "poolproof-records",
    "poolproof-client",
    "poolproof-load",
    "poolproof-stack",
    "poolproof-cases",
    "poolproof-report",
    "poolproof-cli",
];

/// What each crate must not know (harness/README.md, "Architecture").
const MUST_NOT_KNOW: &[(&str, &[&[&str]])] = &[
    (
        "poolproof-stats",
        &[HARNESS, &["poolproof-fixtures", "poolproof"]],
    ),
    (
        "poolproof-model",
        &[KUBERNETES, &["tokio", "clap", "poolproof-fixtures"]],
    ),
    (
        "poolproof-property",
        &[HARNESS, &["poolproof-fixtures", "poolproof"]],
    ),
    (
        "poolproof-records",
        &[KUBERNETES, &["clap", "poolproof-fixtures"]],
    ),
    (
        "poolproof-client",
        &[KUBERNETES, &["clap", "poolproof-fixtures"]],
    ),
    (
        "poolproof-load",
        &[KUBERNETES, DOCKER, &["clap", "poolproof-fixtures"]],
    ),
    ("poolproof-stack", &[&["clap", "poolproof"]]),
    ("poolproof-cases", &[&["clap"]]),
    ("poolproof-report", &[&["poolproof-stack", "clap"]]),
    ("poolproof-fixtures", &[HARNESS, &["clap", "poolproof"]]),
];

#[test]
fn no_crate_reaches_what_it_must_not_know() {
    let graph = normal_dependencies(&metadata());
    let mut broken = Vec::new();
    for (name, banned) in MUST_NOT_KNOW {
        assert!(graph.contains_key(*name), "no crate {name}");
        for banned in banned.iter().copied().flatten().filter(|it| *it != name) {
            if let Some(path) = path(&graph, name, banned) {
                broken.push(path.join(" -> "));
            }
        }
    }
    assert!(broken.is_empty(), "walls broken:\n{}", broken.join("\n"));
}

#[test]
fn every_crate_of_the_harness_has_a_row() {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().unwrap();
    let ours: BTreeSet<&str> = packages
        .iter()
        .filter(|package| package["source"].is_null())
        .filter_map(|package| package["name"].as_str())
        .collect();
    for name in ours {
        let listed = MUST_NOT_KNOW.iter().any(|(listed, _)| *listed == name);
        // The command line and the suites stand above all others.
        assert!(
            listed || ["poolproof", "poolproof-cli"].contains(&name),
            "{name} has no row in MUST_NOT_KNOW"
        );
    }
}

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo metadata: {errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The names of each package's normal dependencies, with the features that the workspace builds.
fn normal_dependencies(metadata: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let name_of: BTreeMap<&str, &str> = metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| {
            (
                package["id"].as_str().unwrap(),
                package["name"].as_str().unwrap(),
            )
        })
        .collect();
    let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for node in metadata["resolve"]["nodes"].as_array().unwrap() {
        let dependencies = graph
            .entry(name_of[node["id"].as_str().unwrap()].to_owned())
            .or_default();
        for dependency in node["deps"].as_array().unwrap() {
            let mut kinds = dependency["dep_kinds"].as_array().unwrap().iter();
            if kinds.any(|kind| kind["kind"].is_null()) {
                dependencies.insert(name_of[dependency["pkg"].as_str().unwrap()].to_owned());
            }
        }
    }
    graph
}

/// The shortest path from one package to another.
fn path(graph: &BTreeMap<String, BTreeSet<String>>, from: &str, to: &str) -> Option<Vec<String>> {
    let mut seen = BTreeSet::from([from.to_owned()]);
    let mut paths = vec![vec![from.to_owned()]];
    while !paths.is_empty() {
        let mut longer = Vec::new();
        for path in paths {
            for next in graph.get(path.last()?).into_iter().flatten() {
                let path: Vec<String> = path.iter().chain([next]).cloned().collect();
                if next == to {
                    return Some(path);
                }
                if seen.insert(next.clone()) {
                    longer.push(path);
                }
            }
        }
        paths = longer;
    }
    None
}
