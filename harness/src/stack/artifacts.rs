//! Charts, custom resource definitions and images of a cluster, as files of a folder.
//!
//! The folder holds `charts/NAME-VERSION.tgz`, `crds/NAME-VERSION.yaml` and `images/NAME-TAG.tar` (as `docker save` writes
//! it), by the names of `kind/versions.toml`. One that is filled serves where there is no network; the cache folder fills
//! itself where there is one.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::process::Nursery;
use crate::client;
use crate::versions::{Published, Versions};

/// vLLM's image has ten gigabytes.
const PULL_TIMEOUT: Duration = Duration::from_secs(1800);

/// The folder, and whether what is missing there may be fetched.
#[derive(Clone, Debug)]
pub struct Artifacts {
    folder: PathBuf,
    may_pull: bool,
    versions: Versions,
}

impl Artifacts {
    /// A folder of the user's, from which alone everything is taken; or the cache, where what is missing is fetched.
    pub fn open(folder: Option<&Path>) -> Result<Self> {
        let versions = Versions::load()?;
        if let Some(folder) = folder {
            ensure!(
                folder.is_dir(),
                "--artifacts {}: there is no such folder",
                folder.display()
            );
        }
        Ok(Self {
            may_pull: folder.is_none(),
            folder: match folder {
                Some(folder) => folder.to_owned(),
                None => crate::folders::cache()?.join("artifacts"),
            },
            versions,
        })
    }

    /// A folder that is to be filled.
    pub fn fill(folder: &Path) -> Result<Self> {
        Ok(Self {
            may_pull: true,
            folder: folder.to_owned(),
            versions: Versions::load()?,
        })
    }

    /// The versions that it goes by.
    pub fn versions(&self) -> &Versions {
        &self.versions
    }

    /// The packed chart of this name.
    pub(crate) async fn chart(&self, nursery: &Nursery, name: &str) -> Result<PathBuf> {
        let chart = published(&self.versions.charts, name)?;
        let file = format!("charts/{name}-{}.tgz", chart.version);
        self.have(&file, &chart.url, async |path| {
            let folder = tempfile::tempdir_in(parent(path)?)?;
            let mut helm = Command::new("helm");
            helm.args(["pull", &chart.url, "--version", &chart.version, "-d"])
                .arg(folder.path());
            run(nursery, "helm-pull", &helm).await?;
            let packed = std::fs::read_dir(folder.path())?.next();
            let packed = packed.context("helm pull left no file")??;
            Ok(std::fs::rename(packed.path(), path)?)
        })
        .await
    }

    /// The file of custom resource definitions of this name.
    pub(crate) async fn crds(&self, name: &str) -> Result<PathBuf> {
        let crds = published(&self.versions.crds, name)?;
        let file = format!("crds/{name}-{}.yaml", crds.version);
        self.have(&file, &crds.url, async |path| {
            let answer = client::http(usize::MAX)?.get(&crds.url).send().await?;
            let text = answer.error_for_status()?.bytes().await?;
            Ok(std::fs::write(path, text)?)
        })
        .await
    }

    /// The archive of the image of this name.
    pub(crate) async fn image(&self, nursery: &Nursery, name: &str) -> Result<PathBuf> {
        let image = self.versions.image(name)?;
        let tag = image.rsplit_once(':').map_or("latest", |(_, tag)| tag);
        let file = format!("images/{name}-{tag}.tar");
        self.have(&file, image, async |path| {
            let mut pull = Command::new("docker");
            run(nursery, "docker-pull", pull.args(["pull", image])).await?;
            let mut save = Command::new("docker");
            save.args(["save", image, "-o"]).arg(path);
            run(nursery, "docker-save", &save).await
        })
        .await
    }

    /// The path of a file, which is fetched first if it is not there and may be.
    async fn have(
        &self,
        file: &str,
        from: &str,
        fetch: impl AsyncFnOnce(&Path) -> Result<()>,
    ) -> Result<PathBuf> {
        let path = self.folder.join(file);
        if path.exists() {
            return Ok(path);
        }
        if !self.may_pull {
            bail!(
                "{} is missing: `poolproof artifacts pull {}`, where there is a network, fetches {from}",
                path.display(),
                self.folder.display()
            );
        }
        let folder = parent(&path)?;
        std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        // Under another name until it is whole.
        let part = path.with_extension("part");
        let fetched = fetch(&part).await;
        fetched.with_context(|| format!("fetching {from} into {}", path.display()))?;
        std::fs::rename(&part, &path).with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }
}

/// Fills a folder with everything that `kind/versions.toml` names but vLLM, whose image is asked for by name.
pub async fn pull(folder: &Path, vllm: bool, tell: &mut dyn FnMut(&Path)) -> Result<()> {
    let artifacts = Artifacts::fill(folder)?;
    let program = std::env::current_exe().context("finding the poolproof program")?;
    let (nursery, _folder) = Nursery::in_new_folder(program)?;
    for name in artifacts.versions.crds.keys() {
        tell(&artifacts.crds(name).await?);
    }
    for name in artifacts.versions.charts.keys() {
        tell(&artifacts.chart(&nursery, name).await?);
    }
    let images = artifacts.versions.images.keys();
    for name in images.filter(|name| vllm || *name != "vllm") {
        tell(&artifacts.image(&nursery, name).await?);
    }
    Ok(())
}

async fn run(nursery: &Nursery, name: &str, command: &Command) -> Result<()> {
    let process = nursery.start(name, command)?;
    process.finish(PULL_TIMEOUT).await.map(|_| ())
}

fn published<'a>(
    all: &'a std::collections::BTreeMap<String, Published>,
    name: &str,
) -> Result<&'a Published> {
    all.get(name)
        .with_context(|| format!("kind/versions.toml does not name {name}"))
}

fn parent(path: &Path) -> Result<&Path> {
    path.parent()
        .with_context(|| format!("{} has no folder", path.display()))
}
