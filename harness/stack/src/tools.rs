//! The programs that manage containers and clusters, and checks that they exist and work.

use std::borrow::Cow;
use std::io::ErrorKind;

use anyhow::{Result, ensure};
use futures_util::future::join_all;
use tokio::process::Command;

use crate::versions::Versions;

/// A program that a stack needs.
#[derive(Clone, Copy, Debug)]
pub struct Tool {
    name: &'static str,
    /// Arguments that make it exit with success if it works.
    ask: &'static [&'static str],
    /// The page that describes how to get it.
    get: &'static str,
    /// The command of that page that installs it on Linux.
    install: fn() -> String,
    /// The command that helps if it is installed and does not work.
    repair: Option<&'static str>,
}

/// The Docker client; it needs an engine that answers.
pub const DOCKER: Tool = Tool {
    name: "docker",
    ask: &["version", "--format", "{{.Server.Version}}"],
    get: "https://docs.docker.com/engine/install",
    install: || "curl -fsSL https://get.docker.com | sh".to_owned(),
    repair: Some("sudo systemctl start docker"),
};
/// kind.
pub const KIND: Tool = Tool {
    name: "kind",
    ask: &["version"],
    get: "https://kind.sigs.k8s.io/docs/user/quick-start",
    install: || {
        let version = Versions::load().map_or_else(|_| "latest".to_owned(), |all| all.kind.version);
        let (to, processor) = ("/usr/local/bin/kind", go_name(std::env::consts::ARCH));
        let from = format!("https://kind.sigs.k8s.io/dl/{version}/kind-linux-{processor}");
        format!("sudo curl -fsSLo {to} {from} && sudo chmod +x {to}")
    },
    repair: None,
};
/// helm.
pub const HELM: Tool = Tool {
    name: "helm",
    ask: &["version", "--short"],
    get: "https://helm.sh/docs/intro/install",
    install: || {
        "curl -fsSL https://raw.githubusercontent.com/helm/helm/main/scripts/get-helm-3 | bash"
            .to_owned()
    },
    repair: None,
};

/// A program or file that is missing or does not work.
#[derive(Clone, Debug)]
pub struct Missing {
    /// Its name; for a file, its path.
    pub name: Cow<'static, str>,
    /// What needs it, or what is wrong with it.
    pub why: String,
    /// How to get it, or to do without it.
    pub how: String,
    /// The command that gets it; where there is none, how to get it in words.
    pub mend: String,
}

/// A processor as Go and OCI images name it.
pub(crate) fn go_name(processor: &str) -> &str {
    match processor {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
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
        let (why, repair) = match output.await {
            Ok(output) if output.status.success() => return None,
            Ok(output) => {
                let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                (why, self.repair)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => ("not in PATH".to_owned(), None),
            Err(error) => (error.to_string(), None),
        };
        Some(Missing {
            name: self.name.into(),
            why,
            how: self.get.to_owned(),
            mend: repair.map_or_else(self.install, str::to_owned),
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
            install: String::new,
            repair: None,
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
            install: || "install it".to_owned(),
            repair: Some("start it"),
        };
        let missing = missing(&[NONE]).await;
        assert_eq!(missing[0].mend, "install it");
        let message = none_missing("stack x", &missing).map_err(|error| error.to_string());
        let message = message.expect_err("it is missing");
        for part in [NONE.name, NONE.get, "not in PATH", "stack x"] {
            assert!(message.contains(part), "{message}");
        }
    }

    #[tokio::test]
    async fn a_program_that_does_not_work_is_repaired_rather_than_installed() {
        const BROKEN: Tool = Tool {
            name: "false",
            ask: &[],
            get: "",
            install: || "install it".to_owned(),
            repair: Some("start it"),
        };
        assert_eq!(missing(&[BROKEN]).await[0].mend, "start it");
    }

    #[test]
    fn kind_is_installed_in_the_version_that_stacks_are_made_for() {
        let install = (KIND.install)();
        let version = Versions::load().expect("the file that ships").kind.version;
        assert!(
            install.contains(&format!("/dl/{version}/kind-linux-")),
            "{install}"
        );
    }
}
