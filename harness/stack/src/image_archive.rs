//! An image as an archive that `docker load`, `podman load` and `kind load image-archive` read, written without an engine: one layer, its
//! configuration, and a manifest that names both (Docker Image Specification v1.2, "Combined Image JSON + Filesystem Changeset Format").

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use ring::digest::{Context as Hash, SHA256, digest};
use serde_json::{Value, json};

use crate::tools::go_name;
use poolproof_records::digest::hex;

/// What an image holds, and how it is started.
#[derive(Clone, Debug)]
pub(crate) struct Contents {
    /// Folders that any user may write to, by their paths in the image.
    pub(crate) folders: Vec<&'static str>,
    /// Files by their paths in the image, without the first slash; all of them can be read and executed by anyone.
    pub(crate) files: BTreeMap<PathBuf, PathBuf>,
    /// The program that a container starts.
    pub(crate) entry_point: &'static str,
    /// The folder in which it starts.
    pub(crate) working_folder: &'static str,
    /// Variables of its environment, as `NAME=value`.
    pub(crate) environment: Vec<&'static str>,
    /// The user of a container. Clusters that forbid root cannot verify a name, so it is a number.
    pub(crate) user: &'static str,
    /// Labels of the image.
    pub(crate) labels: BTreeMap<&'static str, String>,
}

/// Writes the archive of an image with these names, each with its tag. Equal contents make equal archives.
pub(crate) fn write(contents: &Contents, names: &[String], archive: &Path) -> Result<()> {
    let layer = Layer::of(contents)?;
    let configuration = configuration(contents, &layer.sha256).to_string();
    let configuration_sha256 = hex(digest(&SHA256, configuration.as_bytes()).as_ref());
    let configuration_file = format!("{configuration_sha256}.json");
    let layer_file = format!("{}/layer.tar", layer.sha256);
    let manifest =
        json!([{"Config": configuration_file, "RepoTags": names, "Layers": [layer_file]}]);
    let write = || {
        let mut tar = tar::Builder::new(File::create(archive)?);
        for (name, text) in [
            ("manifest.json", manifest.to_string()),
            (configuration_file.as_str(), configuration),
        ] {
            let mut header = header(text.len() as u64, 0o644);
            tar.append_data(&mut header, name, text.as_bytes())?;
        }
        tar.append_data(&mut header(layer.bytes, 0o644), layer_file, layer.tar)?;
        tar.into_inner()?.flush()
    };
    write().with_context(|| format!("writing {}", archive.display()))
}

/// The file system of an image.
struct Layer {
    /// A temporary file, read from its start.
    tar: File,
    bytes: u64,
    sha256: String,
}

impl Layer {
    fn of(contents: &Contents) -> Result<Self> {
        const TEMPORARY: &str = "writing the layer of an image to a temporary file";
        let hashed = Hashed {
            to: tempfile::tempfile().context(TEMPORARY)?,
            hash: Hash::new(&SHA256),
        };
        let mut tar = tar::Builder::new(hashed);
        for folder in &contents.folders {
            let mut header = header(0, 0o1777);
            header.set_entry_type(tar::EntryType::Directory);
            let appended = tar.append_data(&mut header, format!("{folder}/"), std::io::empty());
            appended.context(TEMPORARY)?;
        }
        for (name, from) in &contents.files {
            // It may be a symbolic link, which opening it follows.
            let mut append = || {
                let file = File::open(from)?;
                let mut header = header(file.metadata()?.len(), 0o755);
                tar.append_data(&mut header, name, file)
            };
            append().with_context(|| format!("packing {}", from.display()))?;
        }
        let Hashed { to: mut tar, hash } = tar.into_inner().context(TEMPORARY)?;
        let bytes = tar.stream_position().context(TEMPORARY)?;
        tar.rewind().context(TEMPORARY)?;
        Ok(Self {
            tar,
            bytes,
            sha256: hex(hash.finish().as_ref()),
        })
    }
}

/// The configuration of the image (OCI Image Format Specification v1.1, "OCI Image Configuration"). It has no time of creation.
fn configuration(contents: &Contents, layer_sha256: &str) -> Value {
    json!({
        "architecture": go_name(std::env::consts::ARCH),
        "os": "linux",
        "config": {
            "User": contents.user,
            "Env": contents.environment,
            "Entrypoint": [contents.entry_point],
            "WorkingDir": contents.working_folder,
            "Labels": contents.labels,
        },
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{layer_sha256}")]},
        "history": [{"created_by": "poolproof artifacts image"}],
    })
}

/// The header of an entry that belongs to root and has no time.
fn header(bytes: u64, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes);
    header.set_mode(mode);
    header.set_mtime(0);
    header
}

/// Hashes what is written through it.
struct Hashed {
    to: File,
    hash: Hash,
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::artifacts::image_digest;

    /// The entries of an archive with their modes.
    fn entries(archive: impl Read) -> BTreeMap<String, (u32, Vec<u8>)> {
        let mut tar = tar::Archive::new(archive);
        let entries = tar.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().to_str().unwrap().to_owned();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            (name, (entry.header().mode().unwrap(), bytes))
        });
        entries.collect()
    }

    #[test]
    fn an_archive_names_its_configuration_and_its_layer_by_their_hashes() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("program"), "program").unwrap();
        std::fs::write(at("lib.so.1.2"), "library").unwrap();
        std::os::unix::fs::symlink("lib.so.1.2", at("lib.so.1")).unwrap();
        let contents = Contents {
            folders: vec!["work"],
            files: [
                ("bin/program".into(), at("program")),
                ("lib/lib.so.1".into(), at("lib.so.1")),
            ]
            .into(),
            entry_point: "/bin/program",
            working_folder: "/work",
            environment: vec!["A=b"],
            user: "65532",
            labels: [("own", "true".to_owned())].into(),
        };
        let names = ["x.dev/program:1".to_owned()];
        write(&contents, &names, &at("image.tar")).unwrap();
        write(&contents, &names, &at("again.tar")).unwrap();
        let bytes = std::fs::read(at("image.tar")).unwrap();
        assert_eq!(bytes, std::fs::read(at("again.tar")).unwrap());

        let files = entries(&bytes[..]);
        let manifest: Value = serde_json::from_slice(&files["manifest.json"].1).unwrap();
        assert_eq!(manifest[0]["RepoTags"][0], names[0]);
        let named = |field: &Value| &files[field.as_str().unwrap()].1;
        let sha256 = |bytes: &[u8]| format!("sha256:{}", hex(digest(&SHA256, bytes).as_ref()));
        let configuration = named(&manifest[0]["Config"]);
        let id = image_digest(&at("image.tar")).unwrap();
        assert_eq!(id, sha256(configuration));
        let configuration: Value = serde_json::from_slice(configuration).unwrap();
        let config = &configuration["config"];
        assert_eq!(
            (&config["User"], &config["Entrypoint"][0]),
            (&"65532".into(), &"/bin/program".into())
        );
        let layer = named(&manifest[0]["Layers"][0]);
        assert_eq!(configuration["rootfs"]["diff_ids"][0], sha256(layer));
        let expected = [
            ("bin/program", 0o755, "program"),
            ("lib/lib.so.1", 0o755, "library"),
            ("work/", 0o1777, ""),
        ];
        let expected = expected.map(|(name, mode, text)| (name.to_owned(), (mode, text.into())));
        assert_eq!(entries(&layer[..]), expected.into());
    }

    #[test]
    fn a_missing_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let contents = Contents {
            folders: Vec::new(),
            files: [("bin/program".into(), folder.path().join("none"))].into(),
            entry_point: "/bin/program",
            working_folder: "/",
            environment: Vec::new(),
            user: "65532",
            labels: BTreeMap::new(),
        };
        let error = write(&contents, &[], &folder.path().join("image.tar")).unwrap_err();
        assert!(format!("{error:#}").contains("none"), "{error:#}");
    }
}
