//! Recorded traffic: arrival times and token counts.
//!
//! The content determines the format: the CSV of Azure or of BurstGPT (`csv`), Mooncake's JSON lines (`mooncake`), or GenAI spans of
//! OpenTelemetry (`otel`). Only Mooncake's traces have a prefix structure.

mod csv;
mod mooncake;
mod otel;

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Picture;
use super::dataset::Prompt;

/// The tokens of a block, which a `hash_ids` entry of Mooncake identifies.
pub const BLOCK_TOKENS: u32 = 512;

/// The formats, for messages.
const FORMATS: &str = "Azure's CSV (TIMESTAMP,ContextTokens,GeneratedTokens), BurstGPT's CSV (Timestamp,Model,Request tokens,Response tokens,\
    Total tokens,Log Type), Mooncake's JSON lines (timestamp, input_length, output_length, hash_ids) or OTLP JSON with GenAI spans";

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
    /// Reads a trace. Its content determines the format.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("reading trace {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("trace {}", path.display()))
    }

    fn parse(text: &str) -> Result<Self> {
        let text = text.trim_start_matches('\u{feff}');
        let is_json = text.trim_start().starts_with(['{', '[']);
        let mut rows = if is_json {
            of_json(text.trim_end())?
        } else {
            csv::parse(text)?
        };
        let first_ms = rows.first().context("the trace has no requests")?.at_ms;
        let mut before_ms = first_ms;
        for (number, row) in rows.iter_mut().enumerate() {
            ensure!(
                row.at_ms >= before_ms,
                "request {}: its timestamp is earlier than that of the previous request: sort the requests by time",
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

/// The format of a text that begins with a JSON object or list.
fn of_json(text: &str) -> Result<Vec<Row>> {
    let line = text.lines().next().unwrap_or_default();
    let first = serde_json::from_str::<Value>(line).or_else(|_| serde_json::from_str(text));
    let first = first
        .with_context(|| format!("line 1: it begins like JSON, but is not: must be {FORMATS}"))?;
    let first = match &first {
        Value::Array(list) => list.first().unwrap_or(&Value::Null),
        first => first,
    };
    let Value::Object(fields) = first else {
        bail!("line 1: it is no object of JSON: must be {FORMATS}");
    };
    if otel::is_of(fields) {
        return otel::parse(text);
    }
    if fields.contains_key("timestamp") {
        return mooncake::parse(text);
    }
    bail!(
        "line 1: its fields are {:?}, which are those of no known trace: must be {FORMATS}",
        fields.keys().take(8).collect::<Vec<_>>()
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn each_format_is_recognised_by_its_content_and_read_from_its_first_request_on() {
        let mooncake = Trace::parse(include_str!("samples/mooncake.jsonl")).unwrap();
        assert_eq!(mooncake.rows[1].at_ms, 3053.0);
        assert_eq!(mooncake.rows[1].blocks, [46, 48]);
        let azure = Trace::parse(include_str!("samples/azure.csv")).unwrap();
        assert!((azure.rows[1].at_ms - 52.0).abs() < 1e-3);
        assert_eq!(azure.rows[1].input_tokens, 3180);
        let figures = |text: &str| {
            let rows = Trace::parse(text).unwrap().rows.into_iter();
            rows.map(|row| (row.at_ms, row.input_tokens, row.output_tokens))
                .collect::<Vec<_>>()
        };
        // A failed request arrives too, and asks for the least.
        let burst = [(0.0, 472, 18), (40_000.0, 1087, 230), (113_500.0, 417, 1)];
        assert_eq!(figures(include_str!("samples/burstgpt.csv")), burst);
        // Spans are sorted; the span of HTTP and that of the agent are no requests.
        let spans = include_str!("samples/otel.jsonl");
        let wanted = [(0.0, 1200, 7), (1500.0, 97, 52)];
        assert_eq!(figures(spans), wanted);
        let list = format!("[{}]", spans.trim().replace('\n', ","));
        assert_eq!(figures(&list), wanted, "one document");
        let lines: Vec<Value> = spans
            .lines()
            .map(|it| serde_json::from_str(it).unwrap())
            .collect();
        let pretty = serde_json::to_string_pretty(&lines[1]).unwrap();
        assert_eq!(figures(&pretty), [(0.0, 1200, 7)], "over several lines");
        let flat = "{\"startTimeUnixNano\": 5, \"attributes\": {\"gen_ai.usage.prompt_tokens\": 3, \"gen_ai.usage.completion_tokens\": 4}}";
        assert_eq!(figures(flat), [(0.0, 3, 4)], "a span by itself");
    }

    #[test]
    fn a_parse_error_names_the_line() {
        for (text, named) in [
            ("", "empty"),
            ("a,b\n1,2\n", "TIMESTAMP"),
            ("{\"a\": 1}\n", "no known trace"),
            ("{\"a\": \n", "begins like JSON"),
            (
                "Timestamp,Request tokens\n1,2\n",
                "no column \"Response tokens\"",
            ),
            (
                "Timestamp,Request tokens,Response tokens\n1,2,3\n2,2.5,3\n",
                "line 3: column \"Request tokens\" is \"2.5\"",
            ),
            (
                "Timestamp,Request tokens,Response tokens\nnan,2,3\n",
                "number of seconds",
            ),
            (
                "Timestamp,Request tokens,Response tokens\n1,2\n",
                "2 columns instead of 3",
            ),
            (
                "{\"resourceSpans\":[]}\n",
                "none of its 0 spans is a request with `gen_ai.usage.input_tokens`",
            ),
            (
                "{\"spans\":[]}\n{\"startTimeUnixNano\":\"1\",\"attributes\":{\"gen_ai.usage.input_tokens\":-1,\"gen_ai.usage.output_tokens\":1}}\n",
                "line 2: `gen_ai.usage.input_tokens` is -1",
            ),
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
                format!("Timestamp,Request tokens,Response tokens\n{rows}"),
                format!("{{\"spans\":[{{\"startTimeUnixNano\":{text}"),
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
