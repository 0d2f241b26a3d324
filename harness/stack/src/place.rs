//! The interface of places: where stacks run.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};

use super::kubernetes::{Forwards, Pods};
use super::options::Options;
use super::parts;
use super::progress::Progress;
use super::statuses::Objects;
use poolproof_model::change::{Change, Changes, Kind};
use poolproof_model::component::Component;
use poolproof_model::parts::Parts;
use poolproof_model::status::Statuses;
use poolproof_model::target::{Target, Urls};

/// A place where stacks run.
pub(crate) trait Place: Sync {
    /// Fails if the options are impossible there.
    fn check(&self, options: &Options) -> Result<()>;

    /// The changes that these parts support there.
    fn kinds_of_changes(&self, parts: Parts) -> Vec<Kind>;

    /// Whether Kubernetes objects of cases get conditions there.
    fn has_statuses(&self, _parts: Parts) -> bool {
        false
    }

    /// The target of a stack there, as far as it is known before the start.
    fn planned_target(&self, options: &Options) -> Result<Target> {
        let nowhere = Urls::nowhere(&options.topology)?;
        let mut target = parts::target(&options.topology, options.parts, nowhere)?;
        target.changes = Some(Changes {
            url: target.url.clone(),
            kinds: self.kinds_of_changes(options.parts).into_iter().collect(),
        });
        target.statuses = self.has_statuses(options.parts).then(|| Statuses {
            url: target.url.clone(),
        });
        Ok(target)
    }

    /// Starts a stack, or attaches to one. A start that fails, or whose future is dropped, leaves nothing behind.
    fn start<'a>(
        &self,
        options: &'a Options,
        progress: &'a mut Progress<'_>,
    ) -> BoxFuture<'a, Result<Started>>;

    /// The namespace and the image of our own pods beside such a stack; `None` outside of clusters.
    fn own_pods(&self, _options: &Options) -> Result<Option<(String, String)>> {
        Ok(None)
    }

    /// Whether its answers are known to name the endpoint that served them. Otherwise a start checks.
    fn names_endpoints(&self) -> bool {
        false
    }
}

/// A stack that has been started.
pub(crate) struct Started {
    pub(crate) target: Target,
    pub(crate) components: Vec<Component>,
    pub(crate) running: Box<dyn Running>,
}

/// A running stack. Dropping it stops it, as far as possible without waiting.
pub(crate) trait Running: Send + Sync {
    /// Makes its changes; `None` if it supports none.
    fn operator(&self) -> Option<Arc<dyn Operator>> {
        None
    }

    /// The Kubernetes objects that cases may create, and whose conditions a controller writes; `None` if there is no such
    /// controller.
    fn objects(&self) -> Result<Option<Objects>> {
        Ok(None)
    }

    /// What our own pods beside it need, and the forwards to its pods, if it is in a cluster.
    fn in_cluster(&self) -> Option<(&Pods, &Forwards)> {
        None
    }

    /// Copies the output of its parts into a folder. Returns whether there was any.
    fn save_logs<'a>(&'a self, _to: &'a Path) -> BoxFuture<'a, Result<bool>> {
        ready(Ok(false)).boxed()
    }

    /// Stops it, and waits until it is gone.
    fn stop(self: Box<Self>) -> BoxFuture<'static, ()>;
}

/// Makes the changes of a running stack.
pub(crate) trait Operator: Send + Sync {
    /// The supported changes.
    fn kinds(&self) -> BoxFuture<'_, Vec<Kind>>;

    /// Makes a change.
    fn make(&self, change: Change) -> BoxFuture<'_, Result<()>>;
}
