//! A gateway of the user's own, started by its command, and the model servers behind it.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use super::endpoints::{self, Endpoints};
use crate::options::{Options, Private};
use crate::place::{self, Running, Started};
use crate::process::PrivateGateway;
use crate::progress::Progress;
use poolproof_client::ready;
use poolproof_model::change::{Change, Kind};
use poolproof_model::component::Component;
use poolproof_model::target::Target;

/// How long a connection to a server that is there already may take.
const TAKEN_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a gateway may take until it serves its first model, if the user names no time.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// What was started. Dropping it kills all of it.
struct Own {
    gateway: Option<PrivateGateway>,
    endpoints: Option<Arc<Mutex<Endpoints>>>,
    /// Whether the changes of the target are those of `endpoints`.
    takes_changes: bool,
}

/// Starts the model servers, then the gateway, and waits until it serves. A failed start stops what is running.
pub(super) async fn start(
    options: &Options,
    private: &Private,
    target: Target,
    progress: &mut Progress<'_>,
) -> Result<Started> {
    let hook = super::existing(options)?.changes;
    let mut own = Own {
        gateway: None,
        endpoints: None,
        takes_changes: hook.is_none(),
    };
    match own.start(options, private, &target, progress).await {
        Ok(components) => Ok(Started {
            target,
            components,
            running: Box::new(own),
        }),
        Err(error) => {
            own.end().await;
            Err(error)
        }
    }
}

impl Own {
    async fn start(
        &mut self,
        options: &Options,
        private: &Private,
        target: &Target,
        progress: &mut Progress<'_>,
    ) -> Result<Vec<Component>> {
        let mut components = Vec::new();
        if private.endpoints {
            let endpoints = Endpoints::new(&options.program, &private.output)?;
            let endpoints = self.endpoints.insert(Arc::new(Mutex::new(endpoints)));
            let started = endpoints.lock().await.start(target, options.seed).await;
            components.push(started.context("`start_endpoints`")?);
            progress.done("model servers");
        }
        let Some((program, arguments)) = private.command.split_first() else {
            // A wait for a model includes that for its server.
            if options.wait_ready.is_none() {
                super::reach(target).await?;
            }
            return Ok(components);
        };
        is_free(target).await?;
        let mut command = Command::new(program);
        command.args(arguments).current_dir(&private.folder);
        for (name, value) in &private.env {
            command.env(name, value.reveal());
        }
        let own = options.program.clone();
        let gateway = PrivateGateway::start(own, &private.output, &command)?;
        let gateway = self.gateway.insert(gateway);
        let limit = options.wait_ready.unwrap_or(READY_TIMEOUT);
        let mut asked = target.clone();
        asked.access = asked.access.with(&options.access);
        let ready = ready::until_served(&asked, limit, |what| progress.waits(what));
        tokio::select! {
            // An end is the cause of all other failures.
            biased;
            error = gateway.failed() => return Err(error),
            ready = ready => ready.with_context(|| gateway.not_ready())?,
        }
        progress.done("gateway");
        Ok(components)
    }

    /// Stops the gateway, then what it sends to, and waits until all have ended.
    async fn end(&mut self) {
        if let Some(gateway) = self.gateway.take() {
            gateway.stop().await;
        }
        if let Some(endpoints) = &self.endpoints {
            // Waits for a change in progress.
            endpoints.lock().await.stop().await;
        }
    }
}

/// Fails if a server listens at the address of the gateway: it would be tested in its place.
async fn is_free(target: &Target) -> Result<()> {
    let url = &target.url;
    for address in url.socket_addrs(|| None).unwrap_or_default() {
        let connected = tokio::time::timeout(TAKEN_TIMEOUT, TcpStream::connect(address)).await;
        ensure!(
            !matches!(connected, Ok(Ok(_))),
            "a server listens at {url} before `start_command` runs: stop it, or remove `start_command` to test it"
        );
    }
    Ok(())
}

impl Running for Own {
    fn operator(&self) -> Option<Arc<dyn place::Operator>> {
        let endpoints = self.endpoints.clone().filter(|_| self.takes_changes)?;
        Some(Arc::new(Operator(endpoints)))
    }

    fn stop(mut self: Box<Self>) -> BoxFuture<'static, ()> {
        async move { self.end().await }.boxed()
    }
}

/// Makes the changes of the model servers, one at a time.
struct Operator(Arc<Mutex<Endpoints>>);

impl place::Operator for Operator {
    fn kinds(&self) -> BoxFuture<'_, Vec<Kind>> {
        async { endpoints::KINDS.to_vec() }.boxed()
    }

    fn make(&self, change: Change) -> BoxFuture<'_, Result<()>> {
        async move { self.0.lock().await.make(&change).await }.boxed()
    }
}
