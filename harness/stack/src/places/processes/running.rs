//! The processes of a running stack, and how they are stopped.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::Mutex;

use super::kube::Kube;
use super::model_server::Server;
use super::operator::{Changing, Operator};
use super::picker::Picker;
use crate::containers::Containers;
use crate::place::{self, Running};
use crate::process::{Folder, Process};

/// The processes of a running stack.
#[derive(Default)]
pub(super) struct Local {
    pub(super) gateway: Vec<Process>,
    pub(super) pickers: Vec<Picker>,
    pub(super) model_servers: Vec<Server>,
    pub(super) kube: Option<Kube>,
    /// State that changes need; `None` until the stack has started.
    pub(super) changing: Option<Changing>,
    // Drop order matters: leftover containers are removed before the folder they write into.
    pub(super) containers: Option<Containers>,
    /// The folder for output of processes, removed with the stack.
    pub(super) folder: Option<Folder>,
}

impl Local {
    /// Copies the output of all processes. Other files in the folder may hold secrets.
    fn save_logs(&self, to: &Path) -> Result<bool> {
        let Some(from) = &self.folder else {
            return Ok(false);
        };
        std::fs::create_dir_all(to).with_context(|| format!("making {}", to.display()))?;
        for entry in std::fs::read_dir(from.path())? {
            let file = entry?.path();
            let is_output = file
                .extension()
                .is_some_and(|extension| extension == "out" || extension == "err");
            if let Some(name) = file.file_name()
                && is_output
            {
                std::fs::copy(&file, to.join(name))
                    .with_context(|| format!("copying {}", file.display()))?;
            }
        }
        Ok(true)
    }

    /// Stops all processes, the client's side first, and waits until they are gone.
    pub(super) async fn stop(mut self) {
        for process in self.gateway {
            process.stop().await;
        }
        for picker in &mut self.pickers {
            picker.stop().await;
        }
        for server in &mut self.model_servers {
            server.stop().await;
        }
        if let Some(kube) = self.kube {
            kube.stop().await;
        }
    }
}

/// A running stack, shared with its changes.
pub(super) struct Stack(Arc<Mutex<Local>>);

impl Stack {
    pub(super) fn of(local: Local) -> Self {
        Self(Arc::new(Mutex::new(local)))
    }
}

impl Running for Stack {
    fn operator(&self) -> Option<Arc<dyn place::Operator>> {
        Some(Arc::new(Operator(self.0.clone())))
    }

    fn save_logs<'a>(&'a self, to: &'a Path) -> BoxFuture<'a, Result<bool>> {
        async move { self.0.lock().await.save_logs(to) }.boxed()
    }

    fn stop(self: Box<Self>) -> BoxFuture<'static, ()> {
        async move {
            // Waits for a change in progress.
            let local = std::mem::take(&mut *self.0.lock().await);
            local.stop().await;
        }
        .boxed()
    }
}
