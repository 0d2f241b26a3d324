//! Record files: JSON objects whose `schema` field determines their kind and version.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::load;
use super::run;
use crate::load::overhead::{self, Overhead};
use crate::load::search::{self, RateSearch};

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
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Run, Self::Load, Self::Search, Self::Overhead];

    /// The default file name.
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Run => "run.json",
            Self::Load => "load.json",
            Self::Search => "limit.json",
            Self::Overhead => "overhead.json",
        }
    }

    /// The value of its `schema` field.
    pub fn schema(self) -> &'static str {
        match self {
            Self::Run => run::SCHEMA,
            Self::Load => load::SCHEMA,
            Self::Search => search::SCHEMA,
            Self::Overhead => overhead::SCHEMA,
        }
    }

    /// The description of the kind in messages.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Run => "a run of cases",
            Self::Load => "a load run",
            Self::Search => "a search for the limit",
            Self::Overhead => "a comparison with round robin",
        }
    }
}

/// A record of any kind.
#[derive(Clone, Debug)]
pub enum AnyRecord {
    /// A [`Kind::Run`].
    Run(Box<run::Record>),
    /// A [`Kind::Load`].
    Load(Box<load::Record>),
    /// A [`Kind::Search`].
    Search(Box<RateSearch>),
    /// A [`Kind::Overhead`].
    Overhead(Box<Overhead>),
}

impl AnyRecord {
    /// Reads a record. Its `schema` field determines the kind; the file name does not matter.
    pub fn read(path: &Path) -> Result<Self> {
        let (kind, text) = read_kind(path)?;
        Ok(match kind {
            Kind::Run => Self::Run(parse(path, kind, &text)?),
            Kind::Load => Self::Load(parse(path, kind, &text)?),
            Kind::Search => Self::Search(parse(path, kind, &text)?),
            Kind::Overhead => Self::Overhead(parse(path, kind, &text)?),
        })
    }

    /// Reads a record from a file, or from a folder: the first of run.json, load.json, limit.json and overhead.json
    /// that exists.
    pub fn read_at(path: &Path) -> Result<Self> {
        if !path.is_dir() {
            return Self::read(path);
        }
        let mut files = Kind::ALL.iter().map(|kind| path.join(kind.file_name()));
        let file = files
            .find(|file| file.exists())
            .ok_or_else(|| missing(path))?;
        Self::read(&file)
    }

    /// The kind of the record.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Run(_) => Kind::Run,
            Self::Load(_) => Kind::Load,
            Self::Search(_) => Kind::Search,
            Self::Overhead(_) => Kind::Overhead,
        }
    }
}

fn missing(folder: &Path) -> anyhow::Error {
    let names = Kind::ALL.map(Kind::file_name);
    anyhow!(
        "{}: the folder has no record ({})",
        folder.display(),
        names.join(", ")
    )
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

fn read_kind(path: &Path) -> Result<(Kind, Vec<u8>)> {
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

fn parse<T: DeserializeOwned>(path: &Path, kind: Kind, text: &[u8]) -> Result<T> {
    serde_json::from_slice(text)
        .with_context(|| format!("{} is not a valid {} record", path.display(), kind.schema()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::samples::rate_search;

    fn committed(name: &str) -> PathBuf {
        let reports = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../reports");
        reports.join(name)
    }

    #[test]
    fn a_renamed_record_is_read_by_its_schema() {
        let folder = tempfile::tempdir().unwrap();
        let search = folder.path().join("search.json");
        save(&rate_search(), &search).unwrap();
        for (file, kind) in [
            (committed("embedded/run.json"), Kind::Run),
            (committed("load-local-envoy/load.json"), Kind::Load),
            (committed("load-url-h200/overhead.json"), Kind::Overhead),
            (search, Kind::Search),
        ] {
            let renamed = folder.path().join("before.json");
            fs::copy(file, &renamed).unwrap();
            assert_eq!(AnyRecord::read(&renamed).unwrap().kind(), kind);
        }
    }

    #[test]
    fn a_folder_without_a_record_is_an_error_that_names_the_files() {
        let folder = tempfile::tempdir().unwrap();
        let error = AnyRecord::read_at(folder.path()).unwrap_err().to_string();
        assert!(error.contains("no record (run.json, load.json"), "{error}");
        save(&rate_search(), &folder.path().join("limit.json")).unwrap();
        let found = AnyRecord::read_at(folder.path()).unwrap();
        assert_eq!(found.kind(), Kind::Search);
    }

    #[test]
    fn another_kind_than_the_one_needed_is_an_error_that_names_both() {
        let path = committed("load-local-envoy/load.json");
        let error = run::Record::read(&path).unwrap_err().to_string();
        assert!(error.contains("holds a load run"), "{error}");
        assert!(error.contains(run::SCHEMA), "{error}");
    }

    #[test]
    fn a_failed_save_keeps_the_old_record_and_leaves_no_temporary_file() {
        struct Unwritable;
        impl Serialize for Unwritable {
            fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
                Err(serde::ser::Error::custom("no"))
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.json");
        save(&"old", &path).unwrap();
        assert!(save(&Unwritable, &path).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "\"old\"\n");
        // A folder in the place of the record cannot be replaced by a file.
        let blocked = folder.path().join("blocked.json");
        fs::create_dir(&blocked).unwrap();
        let error = save(&"new", &blocked).unwrap_err().to_string();
        assert!(error.contains("blocked.json"), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod properties {
    use super::*;
    use crate::samples::{rate_search, record};
    use poolproof_model::verdict::{Level, Outcome};
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::Index;

    /// Fewer cases, since each writes files.
    fn config() -> ProptestConfig {
        ProptestConfig {
            cases: 32,
            ..poolproof_property::config()
        }
    }

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn a_damaged_or_cut_record_does_no_harm(
            damage in vec((any::<Index>(), any::<u8>()), 0..4),
            end in any::<Index>(),
            bytes in vec(any::<u8>(), 0..60),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("record.json");
            let record = record(&[(Level::Must, Outcome::skip("a reason"))]);
            let whole = serde_json::to_vec(&record).unwrap();
            let mut damaged = whole.clone();
            for (at, byte) in damage {
                let at = at.index(damaged.len());
                damaged[at] = byte;
            }
            for text in [&damaged, &bytes] {
                fs::write(&path, text).unwrap();
                let _ = AnyRecord::read(&path);
            }
            fs::write(&path, &whole[..end.index(whole.len())]).unwrap();
            prop_assert!(AnyRecord::read(&path).is_err());
        }

        #[test]
        fn a_saved_record_is_read_back(
            texts in vec("\\PC{0,12}|[\"\\\\\n\t\0]{0,4}", 3),
            (seed, requests) in any::<(u64, u64)>(),
            numbers in vec(any::<f64>(), 2),
            interrupted in any::<bool>(),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("record.json");
            let mut searched = rate_search();
            (searched.seed, searched.interrupted) = (seed, interrupted);
            (searched.name, searched.stack) = (texts[0].clone(), texts[1].clone());
            searched.flaw = Some(texts[2].clone());
            let probe = &mut searched.search.probes[0];
            (probe.requests, probe.rate_per_s, probe.output_tokens_per_s) = (requests, numbers[0], numbers[1]);
            save(&searched, &path).unwrap();
            let AnyRecord::Search(read) = AnyRecord::read(&path).unwrap() else {
                return Err(TestCaseError::fail("it is another kind"));
            };
            prop_assert_eq!(serde_json::to_string(&read).unwrap(), serde_json::to_string(&searched).unwrap());

            let mut record = record(&[(Level::Must, Outcome::skip(&texts[0]))]);
            (record.seed, record.interrupted) = (seed, interrupted);
            record.split_tolerance = numbers[0];
            record.save(&path).unwrap();
            let read = run::Record::read(&path).unwrap();
            prop_assert_eq!(serde_json::to_string(&read).unwrap(), serde_json::to_string(&record).unwrap());
        }
    }
}
