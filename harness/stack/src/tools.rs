//! The programs that manage containers and clusters, and checks that they exist and work.

use std::borrow::Cow;
use std::io::ErrorKind;

use anyhow::{Result, ensure};
use futures_util::future::join_all;
use tokio::process::Command;

/// A program that a stack needs.
#[derive(Clone, Copy, Debug)]
pub struct Tool {
    name: &'static str,
    /// Arguments that make it exit with success if it works.
    ask: &'static [&'static str],
    get: &'static str,
}

/// The Docker client; it needs an engine that answers.
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

/// A program or file that is missing or does not work.
#[derive(Clone, Debug)]
pub struct Missing {
    /// Its name; for a file, its path.
    pub name: Cow<'static, str>,
    /// What needs it, or what is wrong with it.
    pub why: String,
    /// How to get it.
    pub how: String,
}

/// Those tools that are missing or do not answer. All are checked at once.
pub async fn missing(tools: &[Tool]) -> Vec<Missing> {
    let missing = join_all(tools.iter().map(Tool::missing)).await;
    missing.into_iter().flatten().collect()
}

impl Tool {
    async fn missing(&self) -> Option<Missing> {
        let output = Command::new(self.name)
            .args(self.ask)
            .kill_on_drop(true)
            .output();
        let why = match output.await {
            Ok(output) if output.status.success() => return None,
            Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            Err(error) if error.kind() == ErrorKind::NotFound => "not in PATH".to_owned(),
            Err(error) => error.to_string(),
        };
        Some(Missing {
            name: self.name.into(),
            why,
            how: self.get.to_owned(),
        })
    }
}

/// Fails if anything that a stack needs is missing. The error lists each item and how to get it.
pub(crate) fn none_missing(stack: &str, missing: &[Missing]) -> Result<()> {
    let lines = missing
        .iter()
        .map(|tool| format!("{} ({}): {}", tool.name, tool.why, tool.how));
    ensure!(
        missing.is_empty(),
        "{stack} needs what is missing here:\n  {}",
        lines.collect::<Vec<_>>().join("\n  ")
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_slow_program_does_not_block_other_tasks() {
        const SLOW: Tool = Tool {
            name: "sleep",
            ask: &["1"],
            get: "",
        };
        let tools = [SLOW];
        tokio::select! {
            biased;
            _ = missing(&tools) => panic!("nothing else ran while the program did"),
            () = tokio::time::sleep(Duration::from_millis(10)) => {}
        }
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_named_with_its_source() {
        const NONE: Tool = Tool {
            name: "poolproof-no-such-program",
            ask: &[],
            get: "https://example.invalid",
        };
        let missing = missing(&[NONE]).await;
        let message = none_missing("stack x", &missing).map_err(|error| error.to_string());
        let message = message.expect_err("it is missing");
        for part in [NONE.name, NONE.get, "not in PATH", "stack x"] {
            assert!(message.contains(part), "{message}");
        }
    }
}
