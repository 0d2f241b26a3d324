//! What the places where stacks run have in common.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};

use super::kubernetes::{Forwards, Pods};
use super::options::Options;
use super::parts;
use super::progress::Progress;
use poolproof_model::change::{Change, Changes, Kind};
use poolproof_model::component::Component;
use poolproof_model::parts::Parts;
use poolproof_model::target::{Target, Urls};

/// A place where stacks run.
pub(crate) trait Place: Sync {
    /// Fails if what was asked for cannot be put together there.
    fn check(&self, options: &Options) -> Result<()>;

    /// The changes that can be made of these parts there.
    fn kinds_of_changes(&self, parts: Parts) -> Vec<Kind>;

    /// The target that a stack will have there, as far as that is known before it is started.
    fn planned_target(&self, options: &Options) -> Result<Target> {
        let nowhere = Urls::nowhere(&options.topology)?;
        let mut target = parts::target(&options.topology, options.parts, nowhere)?;
        target.changes = Some(Changes {
            url: target.url.clone(),
            kinds: self.kinds_of_changes(options.parts).into_iter().collect(),
        });
        Ok(target)
    }

    /// Starts a stack, or attaches to one. A start that fails, or whose future is dropped, leaves nothing behind.
    fn start<'a>(
        &self,
        options: &'a Options,
        progress: &'a mut Progress<'_>,
    ) -> BoxFuture<'a, Result<Started>>;

    /// The namespace and the image of pods of ours beside such a stack; `None` if it is in no cluster.
    fn own_pods(&self, _options: &Options) -> Result<Option<(String, String)>> {
        Ok(None)
    }

    /// Whether its answers are known to name the endpoint that served them. Else a start asks.
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

/// A running stack. Dropping it takes it down, as far as that can be done without waiting.
pub(crate) trait Running: Send + Sync {
    /// Who makes its changes, if any can be made.
    fn operator(&self) -> Option<Arc<dyn Operator>> {
        None
    }

    /// How pods beside it are run, and the forwards to its own, if it is in a cluster.
    fn in_cluster(&self) -> Option<(&Pods, &Forwards)> {
        None
    }

    /// Copies what its parts have written into a folder. Returns whether there was anything to copy.
    fn save_logs<'a>(&'a self, _to: &'a Path) -> BoxFuture<'a, Result<bool>> {
        ready(Ok(false)).boxed()
    }

    /// Takes it down, and waits until it is gone.
    fn stop(self: Box<Self>) -> BoxFuture<'static, ()>;
}

/// Makes the changes of a running stack.
pub(crate) trait Operator: Send + Sync {
    /// The changes that can be made.
    fn kinds(&self) -> BoxFuture<'_, Vec<Kind>>;

    /// Makes a change.
    fn make(&self, change: Change) -> BoxFuture<'_, Result<()>>;
}
