//! A deployment to a cluster, which is removed however the run ends.

use std::path::PathBuf;

use anyhow::{Context, Result, anyhow};
use kube::{Client, Config};

use crate::kubernetes::{Cluster, Helm};
use crate::parts;
use crate::places::deployment::remove;
use crate::process::{Folder, ProcessGroup};
use poolproof_model::parts::{Gateway, Named};

/// A deployment to a cluster. Dropping it removes it, and waits until it is gone.
pub(super) struct Deployed {
    pub(super) config: Config,
    pub(super) kubeconfig: PathBuf,
    pub(super) context: Option<String>,
    pub(super) group: ProcessGroup,
    /// The folder of the process group.
    pub(super) _folder: Folder,
    /// The namespace of the Gateway, which identifies the stack.
    pub(super) namespace: String,
}

impl Deployed {
    async fn remove(&self) -> Result<()> {
        let client = Client::try_from(self.config.clone()).context("client of the cluster")?;
        let cluster = Cluster::new(client);
        remove(&cluster, &self.namespace).await?;
        let helm = Helm {
            group: &self.group,
            kubeconfig: &self.kubeconfig,
            context: self.context.as_deref(),
        };
        for gateway in Gateway::ALL {
            parts::gateway(*gateway).uninstall(&cluster, &helm).await?;
        }
        Ok(())
    }

    /// Runs on its own thread and runtime: the runtime of the start may be shutting down.
    fn remove_apart(&self) -> Result<()> {
        let remove = || {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = runtime.enable_all().build();
            runtime.context("runtime")?.block_on(self.remove())
        };
        let removed = std::thread::scope(|scope| scope.spawn(remove).join());
        removed.unwrap_or_else(|_| Err(anyhow!("it panicked")))
    }
}

impl Drop for Deployed {
    fn drop(&mut self) {
        if let Err(error) = self.remove_apart() {
            tracing::error!("removing what was brought to the cluster: {error:#}");
        }
    }
}
