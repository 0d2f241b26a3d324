//! Record files: JSON objects whose `schema` field determines their kind and version.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A kind of record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A run of cases against a stack.
    Run,
    /// A load run.
    Load,
    /// A search for the highest rate that meets every objective.
    Search,
    /// The gateway against round robin over the same endpoints.
    Overhead,
    /// A sweep of rates from idle to beyond saturation.
    Sweep,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 5] = [
        Self::Run,
        Self::Load,
        Self::Search,
        Self::Overhead,
        Self::Sweep,
    ];

    /// The default file name.
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Run => "run.json",
            Self::Load => "load.json",
            Self::Search => "limit.json",
            Self::Overhead => "overhead.json",
            Self::Sweep => "sweep.json",
        }
    }

    /// The value of its `schema` field.
    pub const fn schema(self) -> &'static str {
        match self {
            Self::Run => "poolproof/run/1",
            Self::Load => "poolproof/load/1",
            Self::Search => "poolproof/limit/1",
            Self::Overhead => "poolproof/overhead/1",
            Self::Sweep => "poolproof/sweep/1",
        }
    }

    /// The description of the kind in messages.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Run => "a run of cases",
            Self::Load => "a load run",
            Self::Search => "a search for the limit",
            Self::Overhead => "a comparison with round robin",
            Self::Sweep => "a sweep of rates",
        }
    }
}

/// Reads a record of one kind. Fails if the file holds another kind.
pub(crate) fn read_as<T: DeserializeOwned>(path: &Path, schema: &str) -> Result<T> {
    let (kind, text) = read_kind(path)?;
    if kind.schema() != schema {
        bail!(
            "{}: holds {} (schema {:?}); expected schema {schema:?}",
            path.display(),
            kind.describe(),
            kind.schema()
        );
    }
    parse(path, kind, &text)
}

/// Saves a record atomically: readers find the complete old or new file, even after a crash. The text is written to a
/// temporary file in the same folder, synced, and renamed.
pub fn save(record: &impl Serialize, path: &Path) -> Result<()> {
    let text = serde_json::to_string_pretty(record).context("writing a record as JSON")?;
    let partial = partial_of(path);
    let written = File::create(&partial).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        fs::rename(&partial, path)
    });
    written.map_err(|error| {
        // The first error matters; a failure to remove the incomplete file adds nothing to it.
        let _ = fs::remove_file(&partial);
        anyhow::Error::from(error).context(format!("saving {}", path.display()))
    })
}

/// The path of the temporary file beside a record. It is unique, because several processes may save to the same folder.
fn partial_of(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.partial", std::process::id()));
    path.with_file_name(name)
}

pub(crate) fn read_kind(path: &Path) -> Result<(Kind, Vec<u8>)> {
    #[derive(Deserialize)]
    struct Head {
        schema: String,
    }
    let file = path.display();
    let text = fs::read(path).with_context(|| format!("cannot read {file}"))?;
    let head: Head = serde_json::from_slice(&text)
        .with_context(|| format!("{file} is not the whole record of a run"))?;
    let mut kinds = Kind::ALL.into_iter();
    let kind = kinds.find(|kind| kind.schema() == head.schema);
    let kind = kind.with_context(|| {
        format!(
            "{file}: schema is {:?}, which another version of poolproof wrote; this one reads {}",
            head.schema,
            Kind::ALL
                .map(|kind| format!("{:?}", kind.schema()))
                .join(", ")
        )
    })?;
    Ok((kind, text))
}

pub(crate) fn parse<T: DeserializeOwned>(path: &Path, kind: Kind, text: &[u8]) -> Result<T> {
    serde_json::from_slice(text)
        .with_context(|| format!("{} is not a valid {} record", path.display(), kind.schema()))
}
