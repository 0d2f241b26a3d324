//! The list of report formats: which records each renders, and which files a run writes.
//!
//! To add a format, write its renderer and add a row to [`FORMATS`].

use anyhow::{Context, Result, anyhow};

use super::compare::beside::Beside;
use super::foreign::{Converted, gie, inference_perf, llm_d, vllm};
use super::terminal::{self, TableStyle};
use super::{badge, ctrf, html, junit, markdown, openmetrics};
use poolproof_records::any::AnyRecord;
use poolproof_records::file::Kind;
use poolproof_records::load;
use poolproof_records::load::overhead::Overhead;
use poolproof_records::load::picker::PickerLoad;
use poolproof_records::load::search::RateSearch;
use poolproof_records::load::sweep::RateSweep;
use poolproof_records::run::Record;

/// A record, rendered.
#[derive(Clone, Debug, Default)]
pub struct Rendering {
    /// The document.
    pub text: String,
    /// Contents of the record that the format cannot hold.
    pub left_out: Vec<&'static str>,
}

/// A format of reports.
#[derive(Debug)]
pub struct Format {
    /// Its name on the command line.
    pub name: &'static str,
    /// One line of description.
    pub about: &'static str,
    /// The usual file extension.
    pub extension: &'static str,
    run: Option<Render<Record>>,
    load: Option<Render<load::Record>>,
    search: Option<Render<RateSearch>>,
    overhead: Option<Render<Overhead>>,
    sweep: Option<Render<RateSweep>>,
    picker: Option<Render<PickerLoad>>,
    /// Makes a rendering with a comparison of a record and its rendering without; `None` for kinds that are not compared.
    compared: Option<Compared>,
    /// The files of this format that commands write next to a record, by kind.
    written: &'static [(Kind, &'static str)],
}

type Render<R> = fn(&R, TableStyle) -> Result<Rendering>;
type Compared = fn(&AnyRecord, String, &Beside) -> Option<String>;

const NONE: Format = Format {
    name: "",
    about: "",
    extension: "",
    run: None,
    load: None,
    search: None,
    overhead: None,
    sweep: None,
    picker: None,
    compared: None,
    written: &[],
};

/// All formats.
pub const FORMATS: &[Format] = &[
    Format {
        name: "terminal",
        about: "Table for the terminal",
        extension: "txt",
        run: Some(|record, style| text(terminal::run::render(record, style))),
        load: Some(|record, _| text(terminal::load::render(record))),
        search: Some(|record, _| text(terminal::search::render(record))),
        overhead: Some(|record, _| text(terminal::overhead::render(record))),
        sweep: Some(|record, style| text(terminal::sweep::render(record, style))),
        picker: Some(|record, _| text(terminal::picker::render(record))),
        compared: Some(|_, plain, beside| Some(plain + &terminal::compare::beside(beside))),
        ..NONE
    },
    Format {
        name: "markdown",
        about: "GitHub Markdown",
        extension: "md",
        run: Some(|record, _| text(markdown::render(record))),
        load: Some(|record, _| text(terminal::load::markdown(record))),
        overhead: Some(|record, _| text(terminal::overhead::markdown(record))),
        sweep: Some(|record, _| text(terminal::sweep::markdown(record))),
        picker: Some(|record, _| text(terminal::picker::markdown(record))),
        compared: Some(|_, plain, beside| Some(plain + &terminal::compare::markdown(beside))),
        written: &[(Kind::Sweep, "sweep.md")],
        ..NONE
    },
    Format {
        name: "html",
        about: "Web page with charts, in one file",
        extension: "html",
        run: Some(|record, _| text(html::render(record))),
        load: Some(|record, _| text(html::render_load(record))),
        search: Some(|record, _| text(html::render_search(record))),
        overhead: Some(|record, _| text(html::render_overhead(record))),
        sweep: Some(|record, _| text(html::render_sweep(record))),
        picker: Some(|record, _| text(html::render_picker(record))),
        compared: Some(|record, _, beside| html::render_compared(record, beside)),
        written: &[
            (Kind::Run, "report.html"),
            (Kind::Load, "load.html"),
            (Kind::Search, "limit.html"),
            (Kind::Sweep, "sweep.html"),
            (Kind::Picker, "picker.html"),
        ],
    },
    Format {
        name: "junit",
        about: "JUnit XML, which most CI systems read",
        extension: "xml",
        run: Some(|record, _| text(junit::render(record)?)),
        load: Some(|record, _| text(junit::render_load(record)?)),
        written: &[(Kind::Run, "junit.xml"), (Kind::Load, "junit_load.xml")],
        ..NONE
    },
    Format {
        name: "ctrf",
        about: "Common Test Report Format 1.0.0, as JSON",
        extension: "json",
        run: Some(|record, _| {
            let value = ctrf::render(record);
            text(serde_json::to_string_pretty(&value).context("writing CTRF")?)
        }),
        ..NONE
    },
    Format {
        name: "gie",
        about: "YAML in the format of GIE's conformance report, as a companion to it",
        extension: "yaml",
        run: Some(|record, _| yaml(gie::convert(record))),
        ..NONE
    },
    Format {
        name: "openmetrics",
        about: "OpenMetrics 1.0.0, for metrics collectors",
        extension: "txt",
        run: Some(|record, _| text(openmetrics::render(record)?)),
        load: Some(|record, _| text(openmetrics::render_load(record)?)),
        sweep: Some(|record, _| text(openmetrics::render_sweep(record)?)),
        written: &[
            (Kind::Run, "metrics.txt"),
            (Kind::Load, "metrics_load.txt"),
            (Kind::Sweep, "metrics_sweep.txt"),
        ],
        ..NONE
    },
    Format {
        name: "badge",
        about: "SVG badge with the conclusion, for a README",
        extension: "svg",
        run: Some(|record, _| text(badge::render(record))),
        ..NONE
    },
    Format {
        name: "llm-d",
        about: "llm-d Benchmark Report v0.2.1 of a load run, as YAML",
        extension: "yaml",
        load: Some(|record, _| yaml(llm_d::convert(record))),
        ..NONE
    },
    Format {
        name: "inference-perf",
        about: "inference-perf summary of a load run, as JSON",
        extension: "json",
        load: Some(|record, _| json(inference_perf::convert(record))),
        ..NONE
    },
    Format {
        name: "vllm",
        about: "Keys of vLLM's `bench serve` for a load run, as JSON",
        extension: "json",
        load: Some(|record, _| json(vllm::convert(record))),
        ..NONE
    },
];

impl Format {
    /// The format with this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        FORMATS.iter().find(|format| format.name == name)
    }

    /// True if it renders records of this kind.
    pub fn renders(&self, kind: Kind) -> bool {
        match kind {
            Kind::Run => self.run.is_some(),
            Kind::Load => self.load.is_some(),
            Kind::Search => self.search.is_some(),
            Kind::Overhead => self.overhead.is_some(),
            Kind::Sweep => self.sweep.is_some(),
            Kind::Picker => self.picker.is_some(),
        }
    }

    /// Renders a record. `None` if the format does not support its kind.
    pub fn render(&self, record: &AnyRecord, style: TableStyle) -> Option<Result<Rendering>> {
        Some(match record {
            AnyRecord::Run(record) => self.run?(record, style),
            AnyRecord::Load(record) => self.load?(record, style),
            AnyRecord::Search(record) => self.search?(record, style),
            AnyRecord::Overhead(record) => self.overhead?(record, style),
            AnyRecord::Sweep(record) => self.sweep?(record, style),
            AnyRecord::Picker(record) => self.picker?(record, style),
        })
    }

    /// Renders a record and its comparison with an earlier one. `None` if the format does not support its kind, or shows no comparison.
    pub fn render_compared(
        &self,
        record: &AnyRecord,
        style: TableStyle,
        beside: &Beside,
    ) -> Option<Result<Rendering>> {
        let compared = self.compared?;
        let plain = self.render(record, style)?;
        let with = |rendering: Rendering| {
            Some(Rendering {
                text: compared(record, rendering.text, beside)?,
                ..rendering
            })
        };
        plain.map(with).transpose()
    }

    /// The error for an unsupported kind of record. It names the formats that support it.
    pub fn refusal(&self, kind: Kind) -> anyhow::Error {
        let others = FORMATS.iter().filter(|format| format.renders(kind));
        let others: Vec<&str> = others.map(|format| format.name).collect();
        anyhow!(
            "--format {}: not supported for {}; use {}",
            self.name,
            kind.describe(),
            others.join(", ")
        )
    }
}

/// The names and texts of the files that a run of cases writes next to its record.
pub fn files_of_run(record: &Record) -> Result<Vec<(&'static str, String)>> {
    files(Kind::Run, |format| Some(format.run?(record, FILE)))
}

/// The names and texts of the files that a load run writes next to its record, with its comparison if there is one.
pub fn files_of_load(
    record: &load::Record,
    beside: Option<&Beside>,
) -> Result<Vec<(&'static str, String)>> {
    let record = AnyRecord::Load(Box::new(record.clone()));
    files(Kind::Load, |format| {
        let compared = beside.and_then(|it| format.render_compared(&record, FILE, it));
        compared.or_else(|| format.render(&record, FILE))
    })
}

/// The names and texts of the files that a search writes next to its record.
pub fn files_of_search(record: &RateSearch) -> Result<Vec<(&'static str, String)>> {
    files(Kind::Search, |format| Some(format.search?(record, FILE)))
}

/// The names and texts of the files that a sweep writes next to its record.
pub fn files_of_sweep(record: &RateSweep) -> Result<Vec<(&'static str, String)>> {
    files(Kind::Sweep, |format| Some(format.sweep?(record, FILE)))
}

/// The names and texts of the files that load on a picker writes next to its record.
pub fn files_of_picker(record: &PickerLoad) -> Result<Vec<(&'static str, String)>> {
    files(Kind::Picker, |format| Some(format.picker?(record, FILE)))
}

/// The style of tables in files.
const FILE: TableStyle = TableStyle {
    width: 160,
    colour: false,
};

fn files(
    kind: Kind,
    render: impl Fn(&Format) -> Option<Result<Rendering>>,
) -> Result<Vec<(&'static str, String)>> {
    let mut files = Vec::new();
    for format in FORMATS {
        let names = format.written.iter().filter(|(of, _)| *of == kind);
        for (_, name) in names {
            if let Some(rendering) = render(format) {
                files.push((*name, rendering?.text));
            }
        }
    }
    Ok(files)
}

fn text(text: String) -> Result<Rendering> {
    Ok(Rendering {
        text,
        left_out: Vec::new(),
    })
}

fn json(converted: Converted) -> Result<Rendering> {
    Ok(Rendering {
        text: serde_json::to_string_pretty(&converted.value).context("writing JSON")?,
        left_out: converted.left_out,
    })
}

fn yaml(converted: Converted) -> Result<Rendering> {
    Ok(Rendering {
        text: serde_saphyr::to_string(&converted.value).context("writing YAML")?,
        left_out: converted.left_out,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_written_file_has_a_renderer_and_a_unique_name() {
        let mut names = Vec::new();
        for format in FORMATS {
            for (kind, name) in format.written {
                assert!(format.renders(*kind), "{name}");
                assert!(name.ends_with(format.extension), "{name}");
                assert!(!names.contains(name), "{name}");
                names.push(name);
            }
        }
        assert!(!names.is_empty());
    }

    #[test]
    fn the_error_of_an_unsupported_format_names_the_supported_ones() {
        let ctrf = Format::named("ctrf").map(|format| format.refusal(Kind::Search).to_string());
        let ctrf = ctrf.unwrap_or_default();
        assert!(ctrf.ends_with("use terminal, html"), "{ctrf}");
    }
}
