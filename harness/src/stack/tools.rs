//! The programs with which containers and clusters are made: whether they are there and answer.

use std::io::ErrorKind;
use std::process::Command;

use anyhow::{Result, ensure};

/// A program that a stack needs.
#[derive(Clone, Copy, Debug)]
pub struct Tool {
    name: &'static str,
    /// Arguments with which it says that it works.
    ask: &'static [&'static str],
    get: &'static str,
}

/// The client of a Docker engine that answers.
pub const DOCKER: Tool = Tool {
    name: "docker",
    ask: &["version", "--format", "{{.Server.Version}}"],
    get: "https://docs.docker.com/engine/install",
};
/// kind.
pub const KIND: Tool = Tool {
    name: "kind",
    ask: &["version"],
    get: "https://kind.sigs.k8s.io/docs/user/quick-start",
};
/// helm.
pub const HELM: Tool = Tool {
    name: "helm",
    ask: &["version", "--short"],
    get: "https://helm.sh/docs/intro/install",
};

/// A program that is not there, or does not answer.
#[derive(Clone, Debug)]
pub struct Missing {
    /// Its name.
    pub name: &'static str,
    /// What needs it, or what is wrong with it.
    pub why: String,
    /// How to get it.
    pub how: String,
}

/// Those of the tools that are not there or do not answer.
pub fn missing(tools: &[Tool]) -> Vec<Missing> {
    let missing = tools.iter().filter_map(|tool| {
        let why = match Command::new(tool.name).args(tool.ask).output() {
            Ok(output) if output.status.success() => return None,
            Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            Err(error) if error.kind() == ErrorKind::NotFound => "not in PATH".to_owned(),
            Err(error) => error.to_string(),
        };
        Some(Missing {
            name: tool.name,
            why,
            how: tool.get.to_owned(),
        })
    });
    missing.collect()
}

/// Fails, and says how to get them, if programs of a stack are missing.
pub(crate) fn none_missing(stack: &str, missing: &[Missing]) -> Result<()> {
    let lines = missing
        .iter()
        .map(|it| format!("{} ({}): {}", it.name, it.why, it.how));
    ensure!(
        missing.is_empty(),
        "programs of {stack} are missing:\n  {}",
        lines.collect::<Vec<_>>().join("\n  ")
    );
    Ok(())
}
