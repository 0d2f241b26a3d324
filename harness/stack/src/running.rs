//! A running stack, in any place.

use std::path::Path;

use anyhow::Result;

use super::changes;
use super::options::Options;
use super::place::{Running, Started};
use super::places::place;
use super::platform;
use super::progress::{Progress, StartError};
use super::statuses;
use poolproof_client::evidence::served;
use poolproof_client::ready;
use poolproof_model::component::{Component, Step};
use poolproof_model::target::Target;

/// The start of a line that must be seen.
pub const WARNING: &str = "warning";

/// A running stack. [`Stack::stop`] stops it; dropping it does so too, without waiting.
pub struct Stack {
    /// Its name: the kind and its distinguishing property.
    pub name: String,
    /// Its addresses.
    pub target: Target,
    /// Its components.
    pub components: Vec<Component>,
    /// The steps of its start, with their times.
    pub steps: Vec<Step>,
    pub(crate) running: Box<dyn Running>,
    changes: Option<changes::Server>,
    statuses: Option<statuses::Server>,
}

impl Options {
    /// The target that the stack will have. Its addresses are placeholders unless the stack exists already. Fails for
    /// the same invalid options as a start.
    pub fn planned_target(&self) -> Result<Target> {
        let place = place(self.kind);
        place.check(self)?;
        let mut target = place.planned_target(self)?;
        target.access = target.access.with(&self.access);
        Ok(target)
    }
}

impl Stack {
    /// Starts a stack. Calls `tell` with the name of each finished step. A start that fails, or whose future is
    /// dropped, leaves nothing behind.
    pub async fn start(
        options: &Options,
        tell: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Self, StartError> {
        platform::check(platform::SYSTEM, options.kind).map_err(StartError::Unavailable)?;
        let place = place(options.kind);
        place.check(options).map_err(StartError::Config)?;
        let mut progress = Progress::new(tell);
        let started = place.start(options, &mut progress).await;
        let Started {
            mut target,
            components,
            running,
        } = started.map_err(StartError::Unavailable)?;
        target.access = target.access.with(&options.access);
        if target.access.certificates.insecure {
            progress.waits(&format!(
                "{WARNING}: the certificate of {} is not verified: anyone between can read and change what is sent, keys included",
                target.url
            ));
        }
        if let Some(limit) = options.wait_ready {
            let served = ready::until_served(&target, limit, |what| progress.waits(what)).await;
            served.map_err(StartError::Unavailable)?;
        }
        if !place.names_endpoints() && !target.models.is_empty() {
            progress.waits(&format!(
                "asking {} for one token, up to {:?}, to learn which endpoint serves",
                target.url,
                ready::FIRST_TIMEOUT
            ));
            let named = served::are_named(&target).await;
            if !named.map_err(StartError::Unavailable)? {
                target.served_by_header = None;
            }
        }
        let mut changes = None;
        if let Some(operator) = running.operator() {
            let server = changes::serve(operator).await;
            let server = server.map_err(StartError::Unavailable)?;
            target.changes = Some(server.changes.clone());
            changes = Some(server);
        }
        let mut statuses = None;
        if let Some(objects) = running.objects().map_err(StartError::Unavailable)? {
            let server = statuses::serve(objects).await;
            let server = server.map_err(StartError::Unavailable)?;
            target.statuses = Some(server.statuses.clone());
            statuses = Some(server);
        }
        Ok(Self {
            name: target.name.clone(),
            target,
            components,
            steps: progress.into_steps(),
            running,
            changes,
            statuses,
        })
    }

    /// Copies the output of its parts into a folder, for the analysis of failed cases. Returns whether there was any.
    pub async fn save_logs(&self, folder: &Path) -> Result<bool> {
        self.running.save_logs(folder).await
    }

    /// Stops everything that was started, and waits until it is gone.
    pub async fn stop(self) {
        drop((self.changes, self.statuses));
        self.running.stop().await;
    }
}
