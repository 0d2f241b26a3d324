//! `poolproof artifacts`: charts, definitions and images as files, for clusters without network access; and poolproof's own image.

use std::path::{Path, PathBuf};

use super::{Exit, Failure, print_line};
use poolproof_stack::{StartError, artifacts, own_image};

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
    /// Write the image of this program, for `docker load`, `podman load`, `kind load image-archive` or a registry; needs no engine
    Image {
        /// The archive to write, such as poolproof.tar
        file: PathBuf,
    },
}

pub(super) async fn run(command: Command) -> Result<Exit, Failure> {
    let mut print = |file: &Path| print_line(&file.display().to_string());
    let done = match command {
        Command::Pull { folder, vllm } => artifacts::pull(&folder, vllm, &mut print).await,
        Command::Image { file } => {
            let written = own_image::write(env!("CARGO_PKG_VERSION"), &file).await;
            written.map(|()| print(&file))
        }
    };
    done.map_err(StartError::Unavailable)?;
    Ok(Exit::Passed)
}
