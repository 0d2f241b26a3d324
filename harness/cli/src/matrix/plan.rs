//! A plan: the stacks of a matrix, as a TOML file.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use clap::Parser;
use serde::{Deserialize, Serialize};

use super::super::run;
use poolproof_model::component::Component;
use poolproof_model::parts::StackKind;

/// The time that a private gateway has until its first answer, if the plan states none.
const WAIT_READY: &str = "60s";

/// A plan that was read and checked.
#[derive(Debug)]
pub(super) struct Plan {
    /// The file, for messages.
    pub(super) file: PathBuf,
    /// Its stacks, in the order in which they run.
    pub(super) stacks: Vec<Entry>,
}

/// A stack, as it is written. Paths are relative to the plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    /// Its name, also that of its folder.
    pub(super) name: String,
    /// The place.
    pub(super) place: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) gateway: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) epp: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) model_server: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    topology: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<PathBuf>,
    /// A command that starts the gateway of the target file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) start_command: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wait_ready: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    cases: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    expect: Vec<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    stack: Vec<Entry>,
}

/// The arguments of `poolproof run`, parsed as on its command line.
#[derive(Parser)]
struct Line {
    #[command(flatten)]
    run: run::Args,
}

impl Plan {
    /// Reads a plan. Messages name the file, the stack and the field.
    pub(super) fn read(file: &Path) -> Result<Self> {
        let shown = file.display();
        let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {shown}"))?;
        let read: File = toml::from_str(&text).with_context(|| format!("plan {shown}"))?;
        ensure!(
            !read.stack.is_empty(),
            "plan {shown}: it has no stack: add a [[stack]] with `name` and `place`"
        );
        for (number, entry) in read.stack.iter().enumerate() {
            let repeated = read.stack[..number]
                .iter()
                .any(|other| other.name == entry.name);
            ensure!(
                !repeated,
                "plan {shown}: `name` {:?} is used twice: its records would overwrite each other; rename one",
                entry.name
            );
            entry
                .check()
                .with_context(|| format!("plan {shown}: stack {:?}", entry.name))?;
        }
        Ok(Self {
            file: file.to_owned(),
            stacks: read.stack,
        })
    }

    /// The folder from which the paths of the plan count.
    pub(super) fn folder(&self) -> &Path {
        match self.file.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        }
    }
}

impl Entry {
    fn check(&self) -> Result<()> {
        let usable = |c: char| c.is_ascii_alphanumeric() || "-_.@+".contains(c);
        ensure!(
            !self.name.is_empty() && self.name.chars().all(usable) && !self.name.starts_with('.'),
            "`name`: it is the name of a folder: use letters, digits and - _ . @ +, and no dot at the start"
        );
        let place: StackKind = self.place.parse().context("`place`")?;
        ensure!(
            place != StackKind::Cluster,
            "`place` cluster: a plan changes no existing cluster; use `poolproof run --stack cluster`"
        );
        if place == StackKind::Url {
            ensure!(
                self.target.is_some(),
                "`target` is missing: place url needs a target file"
            );
            ensure!(
                self.topology.is_none(),
                "`topology`: only for places that start a stack; remove it"
            );
        } else {
            for (field, given) in [
                ("target", self.target.is_some()),
                ("start_command", !self.start_command.is_empty()),
                ("wait_ready", self.wait_ready.is_some()),
            ] {
                ensure!(
                    !given,
                    "`{field}`: only for place url; remove it or change `place`"
                );
            }
        }
        Ok(())
    }

    /// The arguments of the run of this stack, with its folder for the record.
    pub(super) fn arguments(&self, folder: &Path, out: &Path) -> Result<run::Args> {
        let is_url = self.place == "url";
        let path = |path: &PathBuf| folder.join(path).display().to_string();
        let part = |part: &Option<String>| part.clone().filter(|_| !is_url);
        let wait = (!self.start_command.is_empty()).then(|| WAIT_READY.to_owned());
        let mut fields = vec![
            ("place", "--stack", Some(self.place.clone())),
            ("gateway", "--gateway", part(&self.gateway)),
            ("epp", "--epp", part(&self.epp)),
            ("model_server", "--model-server", part(&self.model_server)),
            ("topology", "--topology", self.topology.as_ref().map(path)),
            ("target", "--target", self.target.as_ref().map(path)),
            (
                "wait_ready",
                "--wait-ready",
                self.wait_ready.clone().or(wait),
            ),
            ("seed", "--seed", self.seed.map(|seed| seed.to_string())),
        ];
        fields.extend(
            self.expect
                .iter()
                .map(|file| ("expect", "--expect", Some(path(file)))),
        );
        let mut line = vec!["poolproof".to_owned()];
        for (field, flag, value) in fields {
            let Some(value) = value else { continue };
            let argument = format!("{flag}={value}");
            // Alone, so that a message belongs to one field.
            parse(&["poolproof".to_owned(), argument.clone()])
                .with_context(|| format!("`{field}`"))?;
            line.push(argument);
        }
        line.push(format!("--out={}", out.display()));
        line.push("--".to_owned());
        line.extend(self.cases.iter().cloned());
        parse(&line)
    }

    /// The parts of a stack that does not report them, as the plan declares them: `NAME@VERSION`.
    pub(super) fn declared(&self) -> Vec<Component> {
        if self.place != "url" {
            return Vec::new();
        }
        let parts = [
            ("gateway", &self.gateway),
            ("epp", &self.epp),
            ("model-server", &self.model_server),
        ];
        let declared = parts.into_iter().filter_map(|(role, part)| {
            let part = part.as_ref()?.replacen('@', " ", 1);
            Some(Component::new(
                role,
                format!("{part} (declared by the plan)"),
            ))
        });
        declared.collect()
    }
}

fn parse(line: &[String]) -> Result<run::Args> {
    let parsed = Line::try_parse_from(line).map_err(|error| {
        let text = error.to_string();
        let message = text.split("\n\n").next().unwrap_or(&text);
        anyhow!(message.trim_start_matches("error: ").trim().to_owned())
    });
    Ok(parsed?.run)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// The message about a plan with this text.
    fn refused(text: &str) -> String {
        let folder = std::env::temp_dir().join(format!("poolproof-plan-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("plan.toml");
        std::fs::write(&file, text).unwrap();
        let plan = Plan::read(&file).and_then(|plan| {
            plan.stacks
                .iter()
                .try_for_each(|entry| entry.arguments(plan.folder(), Path::new("out")).map(|_| ()))
        });
        let message = format!("{:#}", plan.unwrap_err());
        std::fs::remove_dir_all(&folder).unwrap();
        message
    }

    #[test]
    fn a_wrong_plan_is_refused_with_its_stack_its_field_and_the_remedy() {
        for (text, wanted) in [
            ("", "add a [[stack]]"),
            ("[[stack]]\nname = 'a'", "missing field `place`"),
            (
                "[[stack]]\nname = 'a'\nplace = 'moon'",
                "stack \"a\": `place`: unknown stack \"moon\": must be one of",
            ),
            (
                "[[stack]]\nname = '../a'\nplace = 'embedded'",
                "`name`: it is the name of a folder",
            ),
            (
                "[[stack]]\nname = 'a'\nplace = 'url'",
                "`target` is missing",
            ),
            (
                "[[stack]]\nname = 'a'\nplace = 'local'\nstart_command = ['x']",
                "`start_command`: only for place url",
            ),
            (
                "[[stack]]\nname = 'a'\nplace = 'local'\ngatway = 'x'",
                "unknown field `gatway`",
            ),
            (
                "[[stack]]\nname = 'a'\nplace = 'local'\ngateway = 'nginx'",
                "`gateway`: ",
            ),
            (
                "[[stack]]\nname = 'a'\nplace = 'local'\n[[stack]]\nname = 'a'\nplace = 'embedded'",
                "is used twice",
            ),
        ] {
            let message = refused(text);
            assert!(message.contains(wanted), "{text}: {message}");
        }
    }

    #[test]
    fn parts_of_a_url_are_declared_and_no_arguments() {
        let entry: File = toml::from_str(
            "[[stack]]\nname = 'a'\nplace = 'url'\ntarget = 't.toml'\ngateway = 'mine@2.1'\nstart_command = ['./gw']\ncases = ['routing']",
        )
        .unwrap();
        let entry = &entry.stack[0];
        entry.arguments(Path::new("."), Path::new("out")).unwrap();
        let declared = entry.declared();
        assert_eq!(
            declared,
            [Component::new("gateway", "mine 2.1 (declared by the plan)")]
        );
    }
}
