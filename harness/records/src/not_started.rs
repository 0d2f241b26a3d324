//! A stack of a matrix that did not start: what was asked for, and why it is not there.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

/// The value of its `schema` field.
pub const SCHEMA: &str = "poolproof/not-started/1";
/// The name of its file.
pub const FILE: &str = "not-started.json";

/// An attempt to start a stack that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotStarted {
    /// [`SCHEMA`].
    pub schema: String,
    /// The place, by name.
    pub place: String,
    /// The gateway that was asked for; absent: the place's default.
    pub gateway: Option<String>,
    /// The endpoint picker that was asked for.
    pub epp: Option<String>,
    /// The model servers that were asked for.
    pub model_server: Option<String>,
    /// Why it did not start.
    pub reason: String,
}

impl NotStarted {
    /// Reads one.
    pub fn read(path: &Path) -> Result<Self> {
        let file = path.display();
        let text = std::fs::read(path).with_context(|| format!("cannot read {file}"))?;
        let read: Self = serde_json::from_slice(&text)
            .with_context(|| format!("{file} does not describe a stack that did not start"))?;
        ensure!(
            read.schema == SCHEMA,
            "{file}: schema is {:?}; this version of poolproof reads {SCHEMA:?}",
            read.schema
        );
        Ok(read)
    }
}
