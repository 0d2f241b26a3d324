//! The pod that a run sends from.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use futures_util::FutureExt;
use tokio_util::sync::CancellationToken;

use poolproof_cases::inside::Inside;
use poolproof_cases::round_trip::RoundTrip;
use poolproof_model::target::Target;
use poolproof_stack::Stack;
use poolproof_stack::workers::Workers;

/// A pod in the cluster of a stack. [`Pod::stop`] removes it.
pub(super) struct Pod {
    workers: Workers,
    pub(super) inside: Inside,
    /// Round-trip time from the pod to the gateway.
    pub(super) round_trip: RoundTrip,
}

impl Pod {
    /// Starts the pod. A start that fails or is cancelled by `stop` leaves nothing behind.
    pub(super) async fn start(
        stack: &Stack,
        program: &Path,
        stop: &CancellationToken,
    ) -> Result<Self> {
        let workers = stack.start_workers(1, program, stop).await?;
        let reached = async {
            let view = stack
                .cluster_view()
                .context("the stack does not run in a cluster")?;
            let gateway = view.gateway.clone();
            let seen_inside = move |target: Target| {
                let view = view.clone();
                async move { view.seen_inside(&target).await }.boxed()
            };
            let worker = &workers.list[0].url;
            let inside = Inside::new(worker, &gateway, Arc::new(seen_inside))?;
            let round_trip = inside.round_trip().await?;
            anyhow::Ok((inside, round_trip))
        };
        match reached.await {
            Ok((inside, round_trip)) => Ok(Self {
                workers,
                inside,
                round_trip,
            }),
            Err(error) => {
                workers.stop().await;
                Err(error)
            }
        }
    }

    pub(super) async fn stop(self) {
        self.workers.stop().await;
    }
}
