//! Traces as CSV: those of Azure and of BurstGPT, recognised by the names of their columns.
//!
//! Azure's LLM inference traces (Azure/AzurePublicDataset): `TIMESTAMP,ContextTokens,GeneratedTokens`, with a date and a time.
//! BurstGPT (HPMLL/BurstGPT): `Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type`, in seconds; later versions add
//! `Session ID` and `Elapsed time`, which are not used. Requests without response tokens failed; they arrive, and ask for one token.

use anyhow::{Context, Result, bail, ensure};

use super::{FORMATS, Row};

/// The columns of a format, and how its timestamps are read.
struct Format {
    name: &'static str,
    when: &'static str,
    input: &'static str,
    output: &'static str,
    milliseconds: fn(&str) -> Result<f64>,
}

const AZURE: Format = Format {
    name: "Azure",
    when: "TIMESTAMP",
    input: "ContextTokens",
    output: "GeneratedTokens",
    milliseconds: of_date,
};

const BURST_GPT: Format = Format {
    name: "BurstGPT",
    when: "Timestamp",
    input: "Request tokens",
    output: "Response tokens",
    milliseconds: of_seconds,
};

/// Reads a trace with a line of column names.
pub(super) fn parse(text: &str) -> Result<Vec<Row>> {
    let mut lines = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty());
    let (head_at, head) = lines.next().context("the trace is empty")?;
    let names: Vec<&str> = head.split(',').map(unquoted).collect();
    let at = |name: &str| {
        names
            .iter()
            .position(|column| column.eq_ignore_ascii_case(name))
    };
    // The timestamps of both have one name, so the token counts tell them apart.
    let known = [&AZURE, &BURST_GPT].into_iter();
    let format = known
        .clone()
        .find(|format| at(format.input).is_some() || at(format.output).is_some());
    let Some(format) = format else {
        bail!(
            "line {}: the columns are {names:?}, which are those of no known trace: must be {FORMATS}",
            head_at + 1
        );
    };
    let column = |name: &str| {
        at(name).with_context(|| {
            format!(
                "line {}: the trace has no column {name:?}, which {}'s traces have: give the column this name, or add it",
                head_at + 1,
                format.name
            )
        })
    };
    let (when, input, output) = (
        column(format.when)?,
        column(format.input)?,
        column(format.output)?,
    );
    let mut rows = Vec::new();
    for (number, line) in lines {
        let fields: Vec<&str> = line.split(',').map(unquoted).collect();
        let row = || -> Result<Row> {
            ensure!(
                fields.len() == names.len(),
                "{} columns instead of {}: correct or remove the line",
                fields.len(),
                names.len()
            );
            Ok(Row {
                at_ms: (format.milliseconds)(fields[when])
                    .with_context(|| format!("column {:?}", format.when))?,
                input_tokens: tokens(format.input, fields[input])?,
                output_tokens: tokens(format.output, fields[output])?,
                blocks: Vec::new(),
            })
        };
        rows.push(row().with_context(|| format!("line {}", number + 1))?);
    }
    Ok(rows)
}

fn unquoted(field: &str) -> &str {
    field.trim().trim_matches('"')
}

/// A number of tokens, at least one. Tables that were written with pandas have `472.0`.
fn tokens(column: &str, text: &str) -> Result<u32> {
    let whole = text.strip_suffix(".0").unwrap_or(text);
    let tokens = whole.parse::<u32>().ok();
    let tokens = tokens.with_context(|| {
        format!("column {column:?} is {text:?}: must be a whole number; correct or remove the line")
    })?;
    Ok(tokens.max(1))
}

/// The milliseconds of a timestamp such as `2023-11-16 18:17:03.9799600`.
fn of_date(text: &str) -> Result<f64> {
    let text = text.trim_end_matches("+00:00").trim_end_matches('Z');
    let Ok(moment) = text.parse::<jiff::civil::DateTime>() else {
        bail!("{text:?} is not in the format 2023-11-16 18:17:03.9799600");
    };
    let zoned = moment
        .to_zoned(jiff::tz::TimeZone::UTC)
        .context("a timestamp in UTC")?;
    Ok(zoned.timestamp().as_nanosecond() as f64 / 1e6)
}

/// The milliseconds of a timestamp in seconds.
fn of_seconds(text: &str) -> Result<f64> {
    let seconds = text.parse::<f64>().ok().filter(|s| s.is_finite());
    let seconds =
        seconds.with_context(|| format!("{text:?} is not a number of seconds, such as 118.5"))?;
    Ok(seconds * 1000.0)
}
