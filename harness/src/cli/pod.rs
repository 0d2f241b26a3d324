//! The pod that a run sends from.

use std::path::Path;

use anyhow::Result;
use tokio_util::sync::CancellationToken;

use crate::inside::Inside;
use crate::round_trip::RoundTrip;
use crate::stack::Stack;
use crate::stack::workers::Workers;

/// A pod in the cluster of a stack. [`Pod::stop`] removes it.
pub(super) struct Pod {
    workers: Workers,
    pub(super) inside: Inside,
    /// What the way from it to the gateway takes.
    pub(super) round_trip: RoundTrip,
}

impl Pod {
    /// Starts it. A start that fails, or is ended by `stop`, leaves nothing behind.
    pub(super) async fn start(
        stack: &Stack,
        program: &Path,
        stop: &CancellationToken,
    ) -> Result<Self> {
        let workers = stack.start_workers(1, program, stop).await?;
        let reached = async {
            let inside = Inside::new(stack, &workers.list[0].url)?;
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
