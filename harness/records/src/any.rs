//! A record of any kind, read by its `schema` field.

use std::path::Path;

use anyhow::{Result, anyhow};

use crate::file::{Kind, parse, read_kind};
use crate::load;
use crate::load::overhead::Overhead;
use crate::load::picker::PickerLoad;
use crate::load::search::RateSearch;
use crate::load::sweep::RateSweep;
use crate::run;

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
    /// A [`Kind::Sweep`].
    Sweep(Box<RateSweep>),
    /// A [`Kind::Picker`].
    Picker(Box<PickerLoad>),
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
            Kind::Sweep => Self::Sweep(parse(path, kind, &text)?),
            Kind::Picker => Self::Picker(parse(path, kind, &text)?),
        })
    }

    /// Reads a record from a file, or from a folder: the first of run.json, load.json, limit.json, overhead.json,
    /// sweep.json and picker.json that exists.
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
            Self::Sweep(_) => Kind::Sweep,
            Self::Picker(_) => Kind::Picker,
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use serde::Serialize;

    use super::*;
    use crate::file::save;
    use crate::samples::{picker_load, rate_search, rate_sweep};

    fn committed(name: &str) -> PathBuf {
        let reports = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../reports");
        reports.join(name)
    }

    #[test]
    fn a_renamed_record_is_read_by_its_schema() {
        let folder = tempfile::tempdir().unwrap();
        let search = folder.path().join("search.json");
        save(&rate_search(), &search).unwrap();
        let sweep = folder.path().join("steps.json");
        save(&rate_sweep(), &sweep).unwrap();
        let picks = folder.path().join("picks.json");
        picker_load().save(&picks).unwrap();
        for (file, kind) in [
            (committed("embedded/run.json"), Kind::Run),
            (committed("load-local-envoy/load.json"), Kind::Load),
            (committed("load-url-h200/overhead.json"), Kind::Overhead),
            (search, Kind::Search),
            (sweep, Kind::Sweep),
            (picks, Kind::Picker),
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
    use std::fs;

    use super::*;
    use crate::file::save;
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
