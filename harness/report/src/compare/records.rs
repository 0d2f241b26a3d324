//! What a run has left in its folder: its record, that of a workload, that of a comparison of ways.

use std::path::Path;

use anyhow::{Result, ensure};
use jiff::Timestamp;

use poolproof_records::load;
use poolproof_records::load::overhead::Overhead;
use poolproof_records::run::Record;

/// The names of the records.
pub const FILES: [&str; 3] = ["run.json", "load.json", "overhead.json"];

/// The records of one folder; at least one of them.
#[derive(Clone, Debug)]
pub struct Records {
    /// Of cases.
    pub run: Option<Record>,
    /// Of a workload.
    pub load: Option<load::Record>,
    /// Of the way through the gateway and round robin.
    pub overhead: Option<Overhead>,
}

impl Records {
    /// Reads all records of a folder, or the one in a file. Fails if one of them cannot be read, or there is none.
    pub fn read(path: &Path) -> Result<Self> {
        let find = |name: &str| {
            if path.is_dir() {
                Some(path.join(name)).filter(|it| it.exists())
            } else {
                Some(path.to_owned()).filter(|it| it.file_name().is_some_and(|it| it == name))
            }
        };
        let records = Self {
            run: find(FILES[0]).map(|it| Record::read(&it)).transpose()?,
            load: find(FILES[1])
                .map(|it| load::Record::read(&it))
                .transpose()?,
            overhead: find(FILES[2]).map(|it| Overhead::read(&it)).transpose()?,
        };
        ensure!(
            records.started().is_some(),
            "{}: must be a folder with {}, or one of these",
            path.display(),
            FILES.join(", ")
        );
        Ok(records)
    }

    /// The records in the folders of a folder, by when they started. The second list says what could not be read.
    pub fn read_all(folder: &Path) -> Result<(Vec<Self>, Vec<String>)> {
        let (mut all, mut unread) = (Vec::new(), Vec::new());
        let entries = std::fs::read_dir(folder);
        let entries = entries.map_err(|error| anyhow::anyhow!("{}: {error}", folder.display()))?;
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() && FILES.iter().any(|it| path.join(it).exists()) {
                match Self::read(&path) {
                    Ok(records) => all.push(records),
                    Err(error) => unread.push(format!("left out: {error:#}")),
                }
            }
        }
        all.sort_by_key(Self::started);
        Ok((all, unread))
    }

    /// When the first of them was started.
    pub fn started(&self) -> Option<Timestamp> {
        let run = self.run.as_ref().map(|it| it.started);
        let load = self.load.as_ref().map(|it| it.started);
        let overhead = self.overhead.as_ref().map(|it| it.started);
        [run, load, overhead].into_iter().flatten().min()
    }
}
