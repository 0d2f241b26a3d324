//! Containers. They use the network of this machine, so that nothing outside the stack is between client and gateway.
//! The run's folder is mounted under its own path.

use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use testcontainers::core::Mount;
use testcontainers::core::logs::LogFrame;
use testcontainers::runners::AsyncRunner;
use testcontainers::{ContainerAsync, GenericImage, ImageExt};

use super::group::{Output, ProcessGroup};

/// The label of a run's containers.
pub(crate) const RUN_LABEL: &str = "poolproof.dev/run";
/// The label with the process that a container belongs to.
pub(crate) const PID_LABEL: &str = "poolproof.dev/pid";

/// A running container. Dropping it removes it.
#[derive(Debug)]
pub(crate) struct Container {
    pub(super) output: Output,
    container: ContainerAsync<GenericImage>,
}

impl Container {
    /// Starts the program of an image. It runs as the current user, so that it can read the files we write for it.
    pub(super) async fn start(
        group: &ProcessGroup,
        name: &str,
        image: &str,
        command: &Command,
    ) -> Result<Self> {
        let (output, stdout, stderr) = Output::create(&group.logs, name)?;
        let (repository, tag) = image.rsplit_once(':').context("the image has no tag")?;
        let folder = group.logs.to_str().context("its folder is not UTF-8")?;
        let owner = std::fs::metadata(folder).with_context(|| format!("reading {folder}"))?;
        let text = |text: &std::ffi::OsStr| text.to_string_lossy().into_owned();
        let mut request = GenericImage::new(repository, tag)
            .with_entrypoint(&text(command.get_program()))
            .with_cmd(command.get_args().map(text))
            .with_container_name(format!("{}-{name}", group.run()?))
            .with_label(RUN_LABEL, group.run()?)
            .with_label(PID_LABEL, std::process::id().to_string())
            .with_network("host")
            .with_user(format!("{}:{}", owner.uid(), owner.gid()))
            .with_mount(Mount::bind_mount(folder, folder))
            .with_log_consumer(keep([stdout, stderr]));
        for (variable, value) in command.get_envs() {
            if let Some(value) = value {
                request = request.with_env_var(text(variable), text(value));
            }
        }
        let container = request.start().await?;
        Ok(Self { output, container })
    }

    /// Fails with the end of its log if it has ended.
    pub(super) async fn check(&self) -> Result<()> {
        let code = self.container.exit_code().await;
        let Some(code) = code.context("looking after a container")? else {
            return Ok(());
        };
        let output = &self.output;
        bail!(
            "{} ended: {code}; its output: {}",
            output.name,
            output.tail()
        )
    }

    /// Asks it to stop, and waits until it is gone. Kills it after `timeout`.
    pub(super) async fn stop(self, timeout: Duration) {
        let stopped = self
            .container
            .stop_with_timeout(Some(timeout.as_secs() as i32));
        // Dropping it removes it in any case.
        if let Err(error) = stopped.await {
            tracing::warn!("stopping {}: {error:#}", self.output.name);
        }
    }
}

/// Writes a container's standard output and standard error to files.
fn keep(files: [std::fs::File; 2]) -> impl Fn(&LogFrame) + Send + Sync {
    let files = files.map(Mutex::new);
    move |frame| {
        let (file, bytes) = match frame {
            LogFrame::StdOut(bytes) => (&files[0], bytes),
            LogFrame::StdErr(bytes) => (&files[1], bytes),
        };
        // A lost line is missing from a log; nothing else depends on it.
        if let Ok(mut file) = file.lock() {
            let _ = file.write_all(bytes);
        }
    }
}
