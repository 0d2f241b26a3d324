//! Installs and removes charts with the helm program.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::process::ProcessGroup;

const TIMEOUT: Duration = Duration::from_secs(120);

/// The helm program, with the kubeconfig of its cluster.
pub(crate) struct Helm<'a> {
    pub(crate) group: &'a ProcessGroup,
    pub(crate) kubeconfig: &'a Path,
    pub(crate) context: Option<&'a str>,
}

impl Helm<'_> {
    /// Installs a chart, or upgrades it to these values. Does not wait until its objects are ready.
    pub(crate) async fn install(
        &self,
        (release, namespace): (&str, &str),
        chart: &Path,
        values: &Value,
    ) -> Result<()> {
        let file = self.group.logs.join(format!("{release}-values.json"));
        std::fs::write(&file, values.to_string())
            .with_context(|| format!("writing {}", file.display()))?;
        let mut command = self.command(namespace);
        command
            .args(["upgrade", "--install", "--create-namespace", release])
            .arg(chart)
            .arg("--values")
            .arg(&file);
        let process = self.group.start(&format!("helm-{release}"), &command)?;
        let done = process.finish(TIMEOUT).await;
        done.with_context(|| format!("installing chart {}", chart.display()))?;
        Ok(())
    }

    /// Uninstalls a chart if it is installed, and waits until its objects are gone.
    pub(crate) async fn uninstall(&self, (release, namespace): (&str, &str)) -> Result<()> {
        let mut command = self.command(namespace);
        command.args(["uninstall", "--ignore-not-found", "--wait", release]);
        let name = format!("helm-uninstall-{release}");
        let done = self.group.start(&name, &command)?.finish(TIMEOUT).await;
        done.with_context(|| format!("uninstalling chart {release}"))?;
        Ok(())
    }

    fn command(&self, namespace: &str) -> Command {
        let mut command = Command::new("helm");
        command
            .arg("--kubeconfig")
            .arg(self.kubeconfig)
            .args(["--namespace", namespace]);
        if let Some(context) = self.context {
            command.args(["--kube-context", context]);
        }
        command
    }
}
