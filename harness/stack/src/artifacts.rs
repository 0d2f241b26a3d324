//! Charts, custom resource definitions and images of a cluster, as files in a folder.
//!
//! The folder holds `charts/NAME-VERSION.tgz`, `crds/NAME-VERSION.yaml` and `images/NAME-TAG.tar` (as `docker save`
//! writes it), by the names of `kind/versions.toml`. A complete folder works without a network. The cache folder is
//! filled on demand.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::process::ProcessGroup;
use super::tools::Missing;
use crate::options::Options;
use crate::versions::{Published, Versions};
use poolproof_client as client;
use poolproof_model::build::Builds;

/// vLLM's image has ten gigabytes.
const PULL_TIMEOUT: Duration = Duration::from_secs(1800);

/// The maximum size of an image archive's manifest.
const MANIFEST_MAX_BYTES: u64 = 1 << 20;

/// What a stack takes from the folder, by the names of `kind/versions.toml`.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    pub(super) crds: Vec<&'static str>,
    pub(super) charts: Vec<&'static str>,
    pub(super) images: Vec<&'static str>,
}

/// The folder, and whether missing files may be fetched.
#[derive(Clone, Debug)]
pub struct Artifacts {
    folder: PathBuf,
    may_pull: bool,
    /// Whether a part has another version than the default one.
    chosen: bool,
    versions: Versions,
}

impl Artifacts {
    /// The user's folder, whose files alone are used; or the cache, for which missing files are fetched.
    pub fn open(folder: Option<&Path>) -> Result<Self> {
        let versions = Versions::load()?;
        if let Some(folder) = folder {
            ensure!(
                folder.is_dir(),
                "--artifacts {}: no such folder",
                folder.display()
            );
        }
        Ok(Self {
            may_pull: folder.is_none(),
            chosen: false,
            folder: match folder {
                Some(folder) => folder.to_owned(),
                None => poolproof_records::folders::cache()?.join("artifacts"),
            },
            versions,
        })
    }

    /// Those of a stack with these options, in the versions that it is asked for.
    pub(crate) fn of(options: &Options) -> Result<Self> {
        let versions = Versions::with(options.parts, &options.builds)?;
        Ok(Self {
            chosen: options.builds != Builds::default(),
            versions,
            ..Self::open(options.artifacts.as_deref())?
        })
    }

    /// A folder to fill.
    pub fn fill(folder: &Path) -> Result<Self> {
        Ok(Self {
            may_pull: true,
            chosen: false,
            folder: folder.to_owned(),
            versions: Versions::load()?,
        })
    }

    /// The versions it uses.
    pub fn versions(&self) -> &Versions {
        &self.versions
    }

    /// The packed chart of this name.
    pub(crate) async fn chart(&self, group: &ProcessGroup, name: &str) -> Result<PathBuf> {
        let chart = published(&self.versions.charts, name)?;
        let file = self.chart_file(name)?;
        self.have(&file, &chart.url, async |path| {
            let folder = tempfile::tempdir_in(parent(path)?)?;
            let mut helm = Command::new("helm");
            helm.args(["pull", &chart.url, "--version", &chart.version, "-d"])
                .arg(folder.path());
            run(group, "helm-pull", &helm).await?;
            let packed = std::fs::read_dir(folder.path())?.next();
            let packed = packed.context("helm pull left no file")??;
            Ok(std::fs::rename(packed.path(), path)?)
        })
        .await
    }

    /// The file of custom resource definitions of this name.
    pub(crate) async fn crds(&self, name: &str) -> Result<PathBuf> {
        let crds = published(&self.versions.crds, name)?;
        let file = self.crds_file(name)?;
        self.have(&file, &crds.url, async |path| {
            let answer = client::http(usize::MAX)?.get(&crds.url).send().await?;
            let text = answer.error_for_status()?.bytes().await?;
            Ok(std::fs::write(path, text)?)
        })
        .await
    }

    /// The archive of the image of this name.
    pub(crate) async fn image(&self, group: &ProcessGroup, name: &str) -> Result<PathBuf> {
        let image = self.versions.image(name)?;
        let file = self.image_file(name)?;
        self.have(&file, image, async |path| {
            let mut pull = Command::new("docker");
            run(group, "docker-pull", pull.args(["pull", image])).await?;
            let mut save = Command::new("docker");
            save.args(["save", image, "-o"]).arg(path);
            run(group, "docker-save", &save).await
        })
        .await
    }

    /// The missing files that must not be fetched, each with the command that provides it.
    pub(super) fn missing(&self, wanted: &Wanted) -> Result<Vec<Missing>> {
        if self.may_pull {
            return Ok(Vec::new());
        }
        let mut files = Vec::new();
        for name in &wanted.crds {
            let from = &published(&self.versions.crds, name)?.url;
            files.push((self.crds_file(name)?, from.as_str()));
        }
        for name in &wanted.charts {
            let from = &published(&self.versions.charts, name)?.url;
            files.push((self.chart_file(name)?, from.as_str()));
        }
        for name in &wanted.images {
            files.push((self.image_file(name)?, self.versions.image(name)?));
        }
        let paths = files
            .into_iter()
            .map(|(file, from)| (self.folder.join(file), from));
        let missing = paths.filter(|(path, _)| !path.exists());
        Ok(missing
            .map(|(path, from)| Missing {
                name: path.display().to_string().into(),
                why: "the file is missing".to_owned(),
                how: format!("{} fetches {from}", self.remedy()),
                mend: format!("poolproof artifacts pull {}", self.folder.display()),
            })
            .collect())
    }

    /// Whether the image's archive is in the folder.
    pub(super) fn has_image(&self, name: &str) -> Result<bool> {
        Ok(self.folder.join(self.image_file(name)?).exists())
    }

    fn chart_file(&self, name: &str) -> Result<String> {
        let version = &published(&self.versions.charts, name)?.version;
        Ok(format!("charts/{name}-{version}.tgz"))
    }

    fn crds_file(&self, name: &str) -> Result<String> {
        let version = &published(&self.versions.crds, name)?.version;
        Ok(format!("crds/{name}-{version}.yaml"))
    }

    fn image_file(&self, name: &str) -> Result<String> {
        let image = self.versions.image(name)?;
        let tag = image.rsplit_once(':').map_or("latest", |(_, tag)| tag);
        Ok(format!("images/{name}-{tag}.tar"))
    }

    /// How to fill the folder.
    fn remedy(&self) -> String {
        if self.chosen {
            return "a run without --artifacts, on a machine with a network,".to_owned();
        }
        let folder = self.folder.display();
        format!("`poolproof artifacts pull {folder}` on a machine with a network")
    }

    /// The path of a file. A missing file is fetched first, if allowed.
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
                "{} is missing: {} fetches {from}",
                path.display(),
                self.remedy()
            );
        }
        let folder = parent(&path)?;
        std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        // The file gets its final name only when it is complete.
        let part = path.with_extension("part");
        let fetched = fetch(&part).await;
        fetched.with_context(|| format!("fetching {from} into {}", path.display()))?;
        std::fs::rename(&part, &path).with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }
}

/// Fills a folder with everything in `kind/versions.toml` except vLLM, whose image must be requested by name.
pub async fn pull(folder: &Path, vllm: bool, tell: &mut dyn FnMut(&Path)) -> Result<()> {
    let artifacts = Artifacts::fill(folder)?;
    let program = std::env::current_exe().context("finding the poolproof program")?;
    let (group, _folder) = ProcessGroup::in_new_folder(program)?;
    for name in artifacts.versions.crds.keys() {
        tell(&artifacts.crds(name).await?);
    }
    for name in artifacts.versions.charts.keys() {
        tell(&artifacts.chart(&group, name).await?);
    }
    let images = artifacts.versions.images.keys();
    for name in images.filter(|name| vllm || *name != "vllm") {
        tell(&artifacts.image(&group, name).await?);
    }
    Ok(())
}

async fn run(group: &ProcessGroup, name: &str, command: &Command) -> Result<()> {
    let process = group.start(name, command)?;
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

/// The digest of an image's configuration, which is the image's id, from an archive of `docker save`.
pub(super) fn image_digest(archive: &Path) -> Result<String> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Image {
        config: String,
    }
    let describe = || format!("reading image archive {}", archive.display());
    let file = std::fs::File::open(archive).with_context(describe)?;
    let mut tar = tar::Archive::new(std::io::BufReader::new(file));
    for entry in tar.entries_with_seek().with_context(describe)? {
        let entry = entry.with_context(describe)?;
        if entry.path().with_context(describe)?.as_ref() != Path::new("manifest.json") {
            continue;
        }
        let images: Vec<Image> = serde_json::from_reader(entry.take(MANIFEST_MAX_BYTES))
            .with_context(|| format!("{}: manifest.json", archive.display()))?;
        // `HASH.json`, or `blobs/sha256/HASH` of newer engines.
        let config = images
            .first()
            .map(|image| image.config.trim_end_matches(".json"));
        let hash = config.and_then(|config| config.rsplit('/').next());
        let hash = hash.filter(|hash| hash.len() == 64);
        let hash =
            hash.with_context(|| format!("{}: manifest.json names no image", archive.display()))?;
        return Ok(format!("sha256:{hash}"));
    }
    bail!(
        "{} is not an image archive: it has no manifest.json; `docker save` writes one",
        archive.display()
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_folder_lacks_each_file_by_name_and_a_filled_one_none() {
        let folder = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::open(Some(folder.path())).unwrap();
        let wanted = Wanted {
            crds: vec!["gateway-api"],
            charts: vec!["inferencepool"],
            images: vec!["epp", "bbr"],
        };
        let missing = artifacts.missing(&wanted).unwrap();
        assert_eq!(missing.len(), 4);
        for file in &missing {
            assert!(file.how.contains("poolproof artifacts pull"), "{file:?}");
            let path = Path::new(&*file.name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        assert!(artifacts.missing(&wanted).unwrap().is_empty());
    }

    #[test]
    fn an_image_archive_gives_the_digest_of_its_image() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image.tar");
        let hash = "0123456789abcdef".repeat(4);
        for (config, digest) in [
            (format!("{hash}.json"), Some(&hash)),
            (format!("blobs/sha256/{hash}"), Some(&hash)),
            ("x".to_owned(), None),
        ] {
            let mut tar = tar::Builder::new(std::fs::File::create(&path).unwrap());
            let manifest = serde_json::json!([{"Config": config, "RepoTags": ["a:1"]}]);
            for (name, text) in [
                ("layer", "...".to_owned()),
                ("manifest.json", manifest.to_string()),
            ] {
                let mut header = tar::Header::new_gnu();
                header.set_size(text.len() as u64);
                tar.append_data(&mut header, name, text.as_bytes()).unwrap();
            }
            tar.into_inner().unwrap();
            let found = image_digest(&path).ok();
            assert_eq!(found, digest.map(|hash| format!("sha256:{hash}")));
        }
        std::fs::write(&path, "no archive").unwrap();
        assert!(image_digest(&path).is_err());
    }
}
