//! The measurement error of poolproof on a machine. It is kept for that machine and saved with every load run.

use std::path::PathBuf;

use anyhow::{Context, Result};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::folders;

/// The result of a calibration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Calibration {
    /// When it was made.
    pub made: Timestamp,
    /// Processors of the machine.
    pub cores: usize,
    /// The measurements, by the number of open streams.
    pub levels: Vec<Level>,
}

/// The measurement with one number of open streams.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Level {
    /// The number of streams open at once.
    pub streams: usize,
    /// The number of responses.
    pub answers: u64,
    /// The time to first token.
    pub ttft: Twice,
    /// The time between two tokens.
    pub itl: Twice,
    /// p99 of the send lag of requests, in milliseconds.
    pub lag_p99_ms: f64,
    /// Processor time of the client per token, in microseconds.
    pub cpu_us_per_token: f64,
}

/// A time measured by the server and by the client, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Twice {
    /// p50 and p99 measured by the server.
    pub server_ms: (f64, f64),
    /// p50 and p99 measured by the client.
    pub client_ms: (f64, f64),
}

impl Twice {
    /// The error of the client at p50 and p99, in milliseconds.
    pub fn error_ms(&self) -> (f64, f64) {
        (
            self.client_ms.0 - self.server_ms.0,
            self.client_ms.1 - self.server_ms.1,
        )
    }
}

impl Calibration {
    /// The last calibration of this machine, if there is one.
    pub fn last() -> Option<Self> {
        serde_json::from_slice(&std::fs::read(path().ok()?).ok()?).ok()
    }

    /// Saves it as the last calibration of this machine.
    pub fn save(&self) -> Result<PathBuf> {
        let path = path()?;
        let text = serde_json::to_string_pretty(self).context("writing the calibration")?;
        std::fs::create_dir_all(path.parent().unwrap_or(&path))
            .and_then(|()| std::fs::write(&path, text + "\n"))
            .with_context(|| format!("saving {}", path.display()))?;
        Ok(path)
    }
}

fn path() -> Result<PathBuf> {
    Ok(folders::state()?.join("calibration.json"))
}
