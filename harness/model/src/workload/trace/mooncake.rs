//! Mooncake's traces (kvcache-ai/Mooncake, FAST25-release/traces): JSON lines with `timestamp` in milliseconds, `input_length`,
//! `output_length`, and `hash_ids` of blocks of 512 tokens, which are the prefix structure.

use anyhow::{Context, Result};
use serde::Deserialize;

use super::Row;

#[derive(Deserialize)]
struct Line {
    timestamp: f64,
    input_length: u32,
    output_length: u32,
    #[serde(default)]
    hash_ids: Vec<u64>,
}

/// Reads a trace.
pub(super) fn parse(text: &str) -> Result<Vec<Row>> {
    let lines = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty());
    let rows = lines.map(|(number, line)| {
        let line: Line = serde_json::from_str(line).with_context(|| {
            format!(
                "line {}: not a line of Mooncake's format: correct or remove the line",
                number + 1
            )
        })?;
        Ok(Row {
            at_ms: line.timestamp,
            input_tokens: line.input_length.max(1),
            output_tokens: line.output_length.max(1),
            blocks: line.hash_ids,
        })
    });
    rows.collect()
}
