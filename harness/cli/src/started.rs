//! A stack that a command has started, with its progress display and stop signal. Shared by `run` and `load`.

use std::path::Path;

use tokio_util::sync::CancellationToken;

use super::progress::Progress;
use super::{Failure, make_out_folder, stop_on_signal};
use poolproof_model::parts::StackKind;
use poolproof_report::environment::Environment;
use poolproof_stack::{Options, Stack, WARNING};

/// A running stack. [`Stack::stop`] stops it.
pub(super) struct Started {
    pub(super) stack: Stack,
    pub(super) progress: Progress,
    /// Cancelled by SIGINT and SIGTERM.
    pub(super) stop: CancellationToken,
    /// The environment before the stack was started.
    pub(super) environment: Environment,
}

impl Started {
    /// Creates the output folder and starts the stack. Returns `None` if a signal arrived first.
    pub(super) async fn start(options: &Options, out: &Path) -> Result<Option<Self>, Failure> {
        make_out_folder(out)?;
        let stop = stop_on_signal()?;
        let progress = Progress::new();
        let environment = Environment::here();
        // The steps of a stack that is there already are waits for it, which must be seen in a pipe as well.
        let waits = options.kind == StackKind::Url;
        let mut note = |step: &str| {
            let line = format!("start: {step}");
            if waits || step.starts_with(WARNING) {
                progress.tell(&line);
            } else {
                progress.note(&line);
            }
        };
        let stack = tokio::select! {
            started = Stack::start(options, &mut note) => started?,
            () = stop.cancelled() => return Ok(None),
        };
        Ok(Some(Self {
            stack,
            progress,
            stop,
            environment,
        }))
    }
}
