//! `poolproof artifacts`: the charts, definitions and images of a cluster, as files for where there is no network.

use std::path::PathBuf;

use super::{Failure, say};
use poolproof_stack::{StartError, artifacts};

#[derive(Clone, Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Fetch what is missing in a folder: needs a network, helm and a Docker engine
    Pull {
        /// The folder, as `--artifacts` takes it: charts/NAME-VERSION.tgz, crds/NAME-VERSION.yaml, images/NAME-TAG.tar
        folder: PathBuf,
        /// Also the image of vLLM, of ten gigabytes
        #[arg(long)]
        vllm: bool,
    },
}

pub(super) async fn run(command: Command) -> Result<u8, Failure> {
    let Command::Pull { folder, vllm } = command;
    artifacts::pull(&folder, vllm, &mut |file| say(&file.display().to_string()))
        .await
        .map_err(StartError::Unavailable)?;
    Ok(0)
}
