//! The endpoint pickers, one process per pool.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use url::Url;

use crate::parts;
use crate::parts::picker as part;
use crate::process::{Launch, Process, ProcessGroup};
use crate::programs::Programs;
use poolproof_client::evidence;
use poolproof_model::parts::EndpointPicker;

const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// The endpoint picker of a pool.
#[derive(Debug)]
pub(super) struct Picker {
    pub(super) address: SocketAddr,
    pub(super) metrics: Url,
    pub(super) pool: String,
    name: String,
    endpoints: usize,
    /// Whether its metrics show its endpoints.
    shows_endpoints: bool,
    launch: Launch,
    /// `None` while it is down.
    process: Option<Process>,
}

impl Picker {
    /// The endpoint picker of a pool, not started yet; see [`Picker::start`].
    pub(super) fn new(which: EndpointPicker, start: &part::Start<'_>) -> Result<Self> {
        let part = parts::picker(which);
        Ok(Self {
            address: start.ports.grpc,
            metrics: format!("http://{}/metrics", start.ports.metrics).parse()?,
            pool: start.pool.name.clone(),
            name: start.name.to_owned(),
            endpoints: start.pool.endpoints,
            shows_endpoints: part.schedules(),
            launch: part.launch(start)?,
            process: None,
        })
    }

    /// Starts it if it is down. [`Picker::ready`] waits until it knows its endpoints.
    pub(super) async fn start(&mut self, group: &ProcessGroup) -> Result<()> {
        if self.process.is_none() {
            self.process = Some(group.launch(&self.name, &self.launch).await?);
        }
        Ok(())
    }

    /// Stops it, and waits until it has ended.
    pub(super) async fn stop(&mut self) {
        if let Some(process) = self.process.take() {
            process.stop().await;
        }
    }

    /// Its process on this machine; `None` while it is down, and in a container.
    pub(super) fn process_id(&self) -> Option<u32> {
        match &self.process {
            Some(Process::Child(child)) => Some(child.id()),
            _ => None,
        }
    }

    /// Waits until it has metrics of all endpoints. Its health check is not enough: GIE v1.5.0 reports SERVING without
    /// any pod. If its metrics do not show endpoints, waits until it listens.
    pub(super) async fn ready(&mut self, http: &reqwest::Client) -> Result<()> {
        let (metrics, pool, endpoints) = (&self.metrics, &self.pool, self.endpoints);
        let (shows, address) = (self.shows_endpoints, self.address);
        let known = || async move {
            if !shows {
                return tokio::net::TcpStream::connect(address)
                    .await
                    .map(|_| ())
                    .ok();
            }
            let text = evidence::metrics(http, metrics).await.ok()?;
            (evidence::epp::endpoints_known(&text, pool) == endpoints).then_some(())
        };
        let process = self
            .process
            .as_mut()
            .context("the endpoint picker is down")?;
        process
            .wait_for("metrics of all endpoints", READY_TIMEOUT, known)
            .await
    }

    /// Its name and version.
    pub(super) async fn version(
        &self,
        which: EndpointPicker,
        programs: &Programs,
        http: &reqwest::Client,
    ) -> String {
        let metrics = evidence::metrics(http, &self.metrics)
            .await
            .unwrap_or_default();
        parts::picker(which).version(programs, &metrics)
    }
}
