//! `poolproof artifacts`: charts, definitions and images as files, for clusters without network access.

use std::path::PathBuf;

use super::{Exit, Failure, print_line};
use poolproof_stack::{StartError, artifacts};

#[derive(Clone, Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Download missing artifacts into a folder; needs network access, helm and a Docker engine
    Pull {
        /// The folder, in the layout that `--artifacts` expects: charts/NAME-VERSION.tgz, crds/NAME-VERSION.yaml, images/NAME-TAG.tar
        folder: PathBuf,
        /// Include the vLLM image (10 GB)
        #[arg(long)]
        vllm: bool,
    },
}

pub(super) async fn run(command: Command) -> Result<Exit, Failure> {
    let Command::Pull { folder, vllm } = command;
    artifacts::pull(&folder, vllm, &mut |file| {
        print_line(&file.display().to_string())
    })
    .await
    .map_err(StartError::Unavailable)?;
    Ok(Exit::Passed)
}
