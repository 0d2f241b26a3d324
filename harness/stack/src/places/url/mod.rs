//! An existing stack, or a gateway of the user's own that is started. Its target file describes everything that is known of it.

mod endpoints;
mod private;

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};

use crate::options::Options;
use crate::place::{self, Running, Started};
use crate::progress::Progress;
use poolproof_client::route::{Protocol, Route};
use poolproof_model::change::Kind;
use poolproof_model::parts::Parts;
use poolproof_model::target::Target;

const REACH_TIMEOUT: Duration = Duration::from_secs(5);

/// The addresses of the target file.
pub(super) struct Place;

impl place::Place for Place {
    fn check(&self, options: &Options) -> Result<()> {
        if let Some(flaw) = options.flaw {
            bail!("--flaw {flaw}: a stack that is already there cannot be given a flaw");
        }
        load(options).map(|_| ())
    }

    fn kinds_of_changes(&self, _parts: Parts) -> Vec<Kind> {
        Vec::new()
    }

    fn planned_target(&self, options: &Options) -> Result<Target> {
        load(options)
    }

    fn start<'a>(
        &self,
        options: &'a Options,
        progress: &'a mut Progress<'_>,
    ) -> BoxFuture<'a, Result<Started>> {
        async {
            let target = load(options)?;
            if let Some(private) = &options.private {
                return private::start(options, private, target, progress).await;
            }
            // A wait for a model includes that for its server.
            if options.wait_ready.is_none() {
                reach(&target).await?;
            }
            Ok(Started {
                target,
                components: Vec::new(),
                running: Box::new(NotOurs),
            })
        }
        .boxed()
    }
}

/// A stack that was started elsewhere and is not stopped here.
struct NotOurs;

impl Running for NotOurs {
    fn stop(self: Box<Self>) -> BoxFuture<'static, ()> {
        ready(()).boxed()
    }
}

/// The target, with what is started for it.
fn load(options: &Options) -> Result<Target> {
    let mut target = existing(options)?;
    let private = options.private.as_ref();
    if private.is_some_and(|private| private.endpoints) {
        let named = options.target_file.as_ref();
        let named = named.map(|file| format!("target file {}", file.display()));
        endpoints::plan(&mut target)
            .with_context(|| named.unwrap_or_else(|| target.name.clone()))?;
    }
    Ok(target)
}

/// The target as it is described.
fn existing(options: &Options) -> Result<Target> {
    if let Some(target) = &options.target {
        return Ok(target.clone());
    }
    let file = options.target_file.as_deref();
    Target::load(file.context("--stack url needs --target FILE")?)
}

/// Fails unless a server, or the proxy before it, listens at the gateway's address.
async fn reach(target: &Target) -> Result<()> {
    let url = &target.url;
    let connect = async {
        let route = Route::find(target, url, Protocol::Http1).await?;
        let connected = route.reach().await;
        connected.map_err(|unconnected| anyhow!("{unconnected}"))
    };
    let connected = tokio::time::timeout(REACH_TIMEOUT, connect).await;
    let connected =
        connected.unwrap_or_else(|_| Err(anyhow!("no answer within {REACH_TIMEOUT:?}")));
    connected.with_context(|| {
        format!(
            "the gateway of target {:?} is unreachable: `url` {url}",
            target.name
        )
    })
}
