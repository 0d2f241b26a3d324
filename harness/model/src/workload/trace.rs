//! Recorded traffic: arrival times and token counts.
//!
//! Sources: Mooncake's traces (kvcache-ai/Mooncake, FAST25-release/traces: JSON lines `timestamp` in ms, `input_length`,
//! `output_length`, `hash_ids` of blocks of 512 tokens); Azure's LLM inference traces (Azure/AzurePublicDataset: CSV
//! `TIMESTAMP,ContextTokens,GeneratedTokens`).

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use super::Picture;
use super::dataset::Prompt;

/// The tokens of a block, which a `hash_ids` entry of Mooncake identifies.
pub const BLOCK_TOKENS: u32 = 512;

/// What a workload takes from a file: recorded requests, in order of arrival, or prompts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    /// The requests.
    pub rows: Vec<Row>,
    /// The prompts of a dataset.
    #[serde(default)]
    pub prompts: Vec<Prompt>,
    /// The images of folders.
    #[serde(default)]
    pub pictures: Vec<Picture>,
}

/// One recorded request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The arrival time, in milliseconds after the first request.
    pub at_ms: f64,
    /// The tokens of the prompt.
    pub input_tokens: u32,
    /// The tokens of the response.
    pub output_tokens: u32,
    /// The blocks of [`BLOCK_TOKENS`] tokens; equal ids mean equal text. Empty if the trace has no blocks.
    pub blocks: Vec<u64>,
}

impl Trace {
    /// Reads a trace. The first character determines the format.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("reading trace {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("trace {}", path.display()))
    }

    fn parse(text: &str) -> Result<Self> {
        let mut rows = if text.trim_start().starts_with('{') {
            mooncake(text)?
        } else {
            azure(text)?
        };
        let first_ms = rows.first().context("the trace has no requests")?.at_ms;
        let mut before_ms = first_ms;
        for (number, row) in rows.iter_mut().enumerate() {
            ensure!(
                row.at_ms >= before_ms,
                "request {}: its timestamp is earlier than that of the previous request",
                number + 1
            );
            before_ms = row.at_ms;
            row.at_ms -= first_ms;
        }
        Ok(Self {
            rows,
            ..Self::default()
        })
    }
}

fn mooncake(text: &str) -> Result<Vec<Row>> {
    #[derive(Deserialize)]
    struct Line {
        timestamp: f64,
        input_length: u32,
        output_length: u32,
        #[serde(default)]
        hash_ids: Vec<u64>,
    }
    let lines = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty());
    let rows = lines.map(|(number, line)| {
        let line: Line = serde_json::from_str(line)
            .with_context(|| format!("line {}: not a line of Mooncake's format", number + 1))?;
        Ok(Row {
            at_ms: line.timestamp,
            input_tokens: line.input_length.max(1),
            output_tokens: line.output_length.max(1),
            blocks: line.hash_ids,
        })
    });
    rows.collect()
}

fn azure(text: &str) -> Result<Vec<Row>> {
    let mut lines = text.lines().enumerate();
    let (_, head) = lines.next().context("the trace is empty")?;
    let names: Vec<&str> = head
        .trim_start_matches('\u{feff}')
        .split(',')
        .map(str::trim)
        .collect();
    let column = |name: &str| {
        let place = names
            .iter()
            .position(|column_name| column_name.eq_ignore_ascii_case(name));
        place.with_context(|| {
            format!(
                "line 1: no column {name:?}, so it is neither Azure's CSV nor Mooncake's JSON lines"
            )
        })
    };
    let (when, input, output) = (
        column("TIMESTAMP")?,
        column("ContextTokens")?,
        column("GeneratedTokens")?,
    );
    let mut rows = Vec::new();
    for (number, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
        let fields: Vec<&str> = line.split(',').map(str::trim).collect();
        let row = || -> Result<Row> {
            ensure!(
                fields.len() == names.len(),
                "{} columns instead of {}",
                fields.len(),
                names.len()
            );
            Ok(Row {
                at_ms: milliseconds(fields[when])?,
                input_tokens: fields[input]
                    .parse::<u32>()
                    .context("ContextTokens")?
                    .max(1),
                output_tokens: fields[output]
                    .parse::<u32>()
                    .context("GeneratedTokens")?
                    .max(1),
                blocks: Vec::new(),
            })
        };
        rows.push(row().with_context(|| format!("line {}", number + 1))?);
    }
    Ok(rows)
}

/// The milliseconds of a timestamp in Azure's format, such as `2023-11-16 18:17:03.9799600`.
fn milliseconds(text: &str) -> Result<f64> {
    let text = text.trim_end_matches("+00:00").trim_end_matches('Z');
    let Ok(moment) = text.parse::<jiff::civil::DateTime>() else {
        bail!("TIMESTAMP {text:?}: not in the format 2023-11-16 18:17:03.9799600");
    };
    let zoned = moment
        .to_zoned(jiff::tz::TimeZone::UTC)
        .context("TIMESTAMP")?;
    Ok(zoned.timestamp().as_nanosecond() as f64 / 1e6)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn both_formats_are_read_from_their_first_request_on() {
        let mooncake = "{\"timestamp\": 27482, \"input_length\": 6955, \"output_length\": 52, \"hash_ids\": [46, 47]}\n\
                        {\"timestamp\": 30535, \"input_length\": 6472, \"output_length\": 26, \"hash_ids\": [46, 48]}\n";
        let trace = Trace::parse(mooncake).unwrap();
        assert_eq!(trace.rows[1].at_ms, 3053.0);
        assert_eq!(trace.rows[1].blocks, [46, 48]);
        let azure = "TIMESTAMP,ContextTokens,GeneratedTokens\n\
                     2023-11-16 18:17:03.9799600,4808,10\n2023-11-16 18:17:04.0319600,3180,8\n";
        let trace = Trace::parse(azure).unwrap();
        assert!((trace.rows[1].at_ms - 52.0).abs() < 1e-3);
        assert_eq!(trace.rows[1].input_tokens, 3180);
    }

    #[test]
    fn a_parse_error_names_the_line() {
        for (text, named) in [
            ("", "empty"),
            ("a,b\n1,2\n", "TIMESTAMP"),
            ("{\"timestamp\": 1}\n", "line 1"),
            (
                "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.9,x,8\n",
                "line 2",
            ),
            (
                "{\"timestamp\": 2, \"input_length\": 1, \"output_length\": 1}\n{\"timestamp\": 1, \"input_length\": 1, \"output_length\": 1}",
                "request 2",
            ),
        ] {
            let message = format!("{:#}", Trace::parse(text).unwrap_err());
            assert!(message.contains(named), "{message}");
        }
    }
}

#[cfg(test)]
mod properties {
    use super::*;
    use poolproof_property::config;
    use proptest::collection::vec;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn any_text_does_no_harm(text in "([{}\",:\n0-9a-z]|\\PC){0,60}", rows in "([0-9:., \n-]|\\PC){0,60}") {
            for text in [
                text.clone(),
                format!("{{\"timestamp\":{text}"),
                format!("TIMESTAMP,ContextTokens,GeneratedTokens\n{rows}"),
            ] {
                let _ = Trace::parse(&text);
            }
        }

        #[test]
        fn a_written_trace_is_read_back(
            gaps in vec((0_u32..10_000, 1_u32..9000, 1_u32..9000, vec(any::<u64>(), 0..4)), 1..20),
            first_ms in 0_u32..1_000_000,
        ) {
            let mut at_ms = f64::from(first_ms);
            let mut text = String::new();
            let mut rows = Vec::new();
            for (gap_ms, input, output, blocks) in gaps {
                at_ms += f64::from(gap_ms);
                let line = serde_json::json!({
                    "timestamp": at_ms, "input_length": input, "output_length": output, "hash_ids": blocks,
                });
                text += &format!("{line}\n");
                rows.push(Row { at_ms, input_tokens: input, output_tokens: output, blocks });
            }
            let first_ms = rows[0].at_ms;
            for row in &mut rows {
                row.at_ms -= first_ms;
            }
            prop_assert_eq!(Trace::parse(&text).ok(), Some(Trace { rows, ..Trace::default() }));
        }
    }
}
