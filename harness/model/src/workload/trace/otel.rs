//! OpenTelemetry GenAI spans as OTLP JSON: one export per line, as the collector's file exporter writes them, or one JSON document.
//!
//! A span is a request if it has `gen_ai.usage.input_tokens` and `gen_ai.usage.output_tokens` (OpenTelemetry semantic conventions, GenAI
//! client spans; earlier versions: `prompt_tokens` and `completion_tokens`). Its `startTimeUnixNano` is the arrival. Spans of other kinds
//! are left out, among them those of agents and tools, whose usage is the sum of the requests inside. Spans are exported when they end, so
//! they are put in order of their start. `gen_ai.request.model` is not used: the classes of the workload name the models.

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};

use super::Row;

const INPUT: [&str; 2] = ["gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"];
const OUTPUT: [&str; 2] = [
    "gen_ai.usage.output_tokens",
    "gen_ai.usage.completion_tokens",
];
const OPERATION: &str = "gen_ai.operation.name";
/// The operations that are one request to a model.
const REQUESTS: [&str; 3] = ["chat", "text_completion", "generate_content"];
const START: &str = "startTimeUnixNano";
/// Keys that hold lists of objects with spans inside, of this and of earlier versions of OTLP.
const INSIDE: [&str; 7] = [
    "resourceSpans",
    "scopeSpans",
    "spans",
    "resource_spans",
    "scope_spans",
    "instrumentationLibrarySpans",
    "instrumentation_library_spans",
];

/// Whether an object is an export of spans, or a span.
pub(super) fn is_of(fields: &Map<String, Value>) -> bool {
    INSIDE.iter().any(|key| fields.contains_key(*key)) || start(fields).is_some()
}

/// Reads a trace, in order of the starts.
pub(super) fn parse(text: &str) -> Result<Vec<Row>> {
    let mut found = Found::default();
    // A document over several lines has a first line that is no JSON.
    if let Ok(document) = serde_json::from_str::<Value>(text) {
        found.take(&document).context("the only document")?;
    } else {
        let lines = text.lines().enumerate();
        for (number, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
            let place = || {
                format!(
                    "line {}: not a line of OTLP JSON: correct or remove the line",
                    number + 1
                )
            };
            let export: Value = serde_json::from_str(line).with_context(place)?;
            found
                .take(&export)
                .with_context(|| format!("line {}", number + 1))?;
        }
    }
    if found.rows.is_empty() {
        bail!(
            "none of its {} spans is a request with `{}` and `{}`: export the GenAI client spans, with usage",
            found.spans,
            INPUT[0],
            OUTPUT[0]
        );
    }
    found.rows.sort_by_key(|(at_ns, _)| *at_ns);
    let first = found.rows.first().map_or(0, |(at_ns, _)| *at_ns);
    let rows = found.rows.into_iter().map(|(at_ns, row)| Row {
        // From the first one, since a double does not hold nanoseconds since 1970.
        at_ms: (at_ns - first) as f64 / 1e6,
        ..row
    });
    Ok(rows.collect())
}

#[derive(Default)]
struct Found {
    /// Requests with their start, in nanoseconds.
    rows: Vec<(u64, Row)>,
    /// All spans.
    spans: usize,
}

impl Found {
    /// Takes the spans of a value, however deep they are.
    fn take(&mut self, value: &Value) -> Result<()> {
        if let Value::Array(values) = value {
            return values.iter().try_for_each(|value| self.take(value));
        }
        let Value::Object(fields) = value else {
            bail!("{value} is neither an object nor a list of objects");
        };
        for list in INSIDE.iter().filter_map(|key| fields.get(*key)) {
            self.take(list)?;
        }
        if let Some(at) = start(fields) {
            self.spans += 1;
            self.span(fields, at)?;
        }
        Ok(())
    }

    fn span(&mut self, fields: &Map<String, Value>, at: &Value) -> Result<()> {
        let attribute = |key: &str| attribute(fields.get("attributes")?, key);
        let operation = attribute(OPERATION).and_then(Value::as_str);
        if operation.is_some_and(|operation| !REQUESTS.contains(&operation)) {
            return Ok(());
        }
        let usage = |keys: [&'static str; 2]| {
            let mut found = keys
                .into_iter()
                .filter_map(|key| Some((key, attribute(key)?)));
            found.next()
        };
        let (Some(input), Some(output)) = (usage(INPUT), usage(OUTPUT)) else {
            return Ok(());
        };
        let at_ns = whole(at).with_context(|| {
            format!(
                "`{START}` is {at}: must be nanoseconds since 1970, such as \"1732000001500000000\""
            )
        })?;
        let tokens = |(key, value): (&str, &Value)| {
            let tokens = whole(value).and_then(|tokens| u32::try_from(tokens).ok());
            let tokens = tokens.with_context(|| {
                format!("`{key}` is {value}: must be a whole number of tokens; correct or remove the span")
            })?;
            anyhow::Ok(tokens.max(1))
        };
        let row = Row {
            at_ms: 0.0,
            input_tokens: tokens(input)?,
            output_tokens: tokens(output)?,
            blocks: Vec::new(),
        };
        self.rows.push((at_ns, row));
        Ok(())
    }
}

/// The start of a span; `None` if the object is none.
fn start(fields: &Map<String, Value>) -> Option<&Value> {
    fields.get(START).or(fields.get("start_time_unix_nano"))
}

/// The value of an attribute: of OTLP's list of keys and values, or of a plain object.
fn attribute<'a>(attributes: &'a Value, key: &str) -> Option<&'a Value> {
    match attributes {
        Value::Object(fields) => fields.get(key),
        Value::Array(list) => {
            let mut found = list.iter().filter(|entry| entry["key"] == key);
            let value = found.next()?.get("value")?;
            // `{"intValue": "97"}`, whose only key is the type.
            match value {
                Value::Object(typed) => typed.values().next(),
                value => Some(value),
            }
        }
        _ => None,
    }
}

/// A whole number, which OTLP JSON writes as a text (proto3 JSON mapping of 64-bit integers).
fn whole(value: &Value) -> Option<u64> {
    match value {
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => number.as_u64().or_else(|| {
            let number = number.as_f64()?;
            (number >= 0.0 && number.fract() == 0.0 && number < 1e15).then_some(number as u64)
        }),
        _ => None,
    }
}
