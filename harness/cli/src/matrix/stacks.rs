//! Runs the stacks of a plan one after another. Each has a folder: its record, or why it did not start.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use super::super::run::{self, Prepared};
use super::super::{App, Exit, Failure, make_out_folder};
use super::plan::{Entry, Plan};
use poolproof_model::parts::{Named, Parts, StackKind};
use poolproof_records::file::{self, Kind};
use poolproof_records::not_started::{self, NotStarted};
use poolproof_records::run::Record;

/// The file with the entry of the plan that a record was made from.
const ENTRY: &str = "stack.json";

/// How a stack of a plan ended.
enum Ended {
    Ran(Box<Record>),
    DidNotStart(anyhow::Error),
    Interrupted,
}

/// Runs all stacks that have no finished record. Returns the exit code and the folders that hold evidence. Checks every stack before it starts
/// the first.
pub(super) async fn run(
    app: App,
    plan: &Plan,
    args: &super::Args,
) -> Result<(Exit, Vec<PathBuf>), Failure> {
    let mut all = Vec::new();
    for entry in &plan.stacks {
        let folder = args.records.join(&entry.name);
        let prepared = prepare(app, plan, entry, &folder);
        let what = || format!("plan {}: stack {:?}", plan.file.display(), entry.name);
        all.push((
            entry,
            folder,
            prepared.with_context(what).map_err(Failure::usage)?,
        ));
    }
    let mut exits = Vec::new();
    let mut folders = Vec::new();
    for (number, (entry, folder, (arguments, prepared))) in all.into_iter().enumerate() {
        let say = |what: &str| {
            eprintln!(
                "stack {} ({} of {}): {what}",
                entry.name,
                number + 1,
                plan.stacks.len()
            )
        };
        if let Some(record) = finished(entry, &folder).filter(|_| !args.again) {
            say(&format!(
                "{} ({}); kept",
                record.conclusion(),
                record.counts()
            ));
            exits.push(run::exit(&record));
            folders.push(folder);
            continue;
        }
        say("running");
        make_out_folder(&folder)?;
        begin(entry, &folder)?;
        let parts = prepared.options.parts;
        let ended = one(app, entry, &arguments, prepared).await?;
        match ended {
            Ended::Ran(record) => {
                say(&format!("{} ({})", record.conclusion(), record.counts()));
                exits.push(run::exit(&record));
            }
            Ended::DidNotStart(error) => {
                say(&format!("did not start: {error:#}"));
                save_reason(entry, parts, &folder, &error)?;
                exits.push(Exit::Unavailable);
            }
            Ended::Interrupted => {
                say("interrupted before its first case; the next call runs it again");
                exits.push(Exit::Interrupted);
            }
        }
        if folder.join(Kind::Run.file_name()).exists() || folder.join(not_started::FILE).exists() {
            folders.push(folder);
        }
        if exits.last() == Some(&Exit::Interrupted) {
            break;
        }
    }
    // The most important outcome of any stack.
    let order = [
        Exit::Interrupted,
        Exit::Failed,
        Exit::Unavailable,
        Exit::Undecided,
    ];
    let exit = order.into_iter().find(|exit| exits.contains(exit));
    Ok((exit.unwrap_or(Exit::Passed), folders))
}

/// The arguments of a run, and what they name, checked.
fn prepare(app: App, plan: &Plan, entry: &Entry, folder: &Path) -> Result<(run::Args, Prepared)> {
    let arguments = entry.arguments(plan.folder(), folder)?;
    let mut prepared = arguments.prepare(app).map_err(|failure| failure.error)?;
    prepared.options.private = entry.private(plan.folder(), folder)?;
    prepared.options.planned_target()?;
    Ok((arguments, prepared))
}

/// The record of a stack that was run to its end, from the same entry of the plan.
fn finished(entry: &Entry, folder: &Path) -> Option<Record> {
    let made_from = std::fs::read(folder.join(ENTRY)).ok()?;
    let made_from: Value = serde_json::from_slice(&made_from).ok()?;
    if made_from["digest"] != *entry.digest || folder.join(not_started::FILE).exists() {
        return None;
    }
    // A record that cannot be read is made again.
    let record = Record::read(&folder.join(Kind::Run.file_name())).ok()?;
    (!record.interrupted && has_ended(folder)).then_some(record)
}

/// Whether the run wrote the renderings, its last files: a process that was killed leaves a record of the cases until then.
fn has_ended(folder: &Path) -> bool {
    folder.join("junit.xml").exists()
}

/// Removes what an earlier attempt left that would pass for the result of this one.
fn begin(entry: &Entry, folder: &Path) -> Result<()> {
    for name in [
        not_started::FILE,
        Kind::Run.file_name(),
        "junit.xml",
        "report.html",
    ] {
        match std::fs::remove_file(folder.join(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("removing an earlier {name}"));
            }
            _ => {}
        }
    }
    file::save(entry, &folder.join(ENTRY))
}

/// Starts the stack, runs its cases and stops it.
async fn one(
    app: App,
    entry: &Entry,
    arguments: &run::Args,
    prepared: Prepared,
) -> Result<Ended, Failure> {
    match run::execute(app, arguments, prepared, &entry.declared()).await {
        Ok(Some(ran)) => Ok(Ended::Ran(Box::new(ran.record))),
        Ok(None) => Ok(Ended::Interrupted),
        Err(failure) if failure.exit == Exit::Internal => Err(failure),
        Err(failure) => Ok(Ended::DidNotStart(failure.error)),
    }
}

fn save_reason(entry: &Entry, parts: Parts, folder: &Path, error: &anyhow::Error) -> Result<()> {
    // What a target file names is not chosen here.
    let is_url = entry.place == StackKind::Url.name();
    let or_default = |asked: &Option<String>, default: &str| {
        asked
            .clone()
            .or_else(|| (!is_url).then(|| default.to_owned()))
    };
    let failed = NotStarted {
        schema: not_started::SCHEMA.to_owned(),
        place: entry.place.clone(),
        gateway: or_default(&entry.gateway, parts.gateway.name()),
        epp: or_default(&entry.epp, parts.epp.name()),
        model_server: or_default(&entry.model_server, parts.model_server.name()),
        reason: format!("{error:#}"),
    };
    file::save(&failed, &folder.join(not_started::FILE))
}
