//! A plan: the stacks of a matrix, as a TOML file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use clap::parser::ValueSource;
use clap::{CommandFactory, FromArgMatches, Parser};
use serde::{Deserialize, Serialize};

use super::super::run;
use poolproof_model::component::Component;
use poolproof_model::parts::{Named, StackKind};
use poolproof_model::target::Source;
use poolproof_records::digest;
use poolproof_stack::Private;

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
    /// The place; `url` if it is left out and there is a target file.
    #[serde(default)]
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
    start_command: Vec<String>,
    /// The folder of the command; left out: that of the plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    cwd: Option<PathBuf>,
    /// Variables of the command. Values are hidden where the entry is shown.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    env: BTreeMap<String, Source>,
    /// Whether a model server of poolproof is started at the `url` of each endpoint of the target file.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    start_endpoints: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    wait_ready: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    cases: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    expect: Vec<PathBuf>,
    /// The digest of the entry as it is written, hidden values included: another one is another stack.
    #[serde(skip_deserializing)]
    pub(super) digest: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File<T> {
    #[serde(default = "Vec::new")]
    stack: Vec<T>,
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
        let mut read: File<Entry> =
            toml::from_str(&text).with_context(|| format!("plan {shown}"))?;
        let written: File<toml::Value> = toml::from_str(&text)?;
        for (entry, written) in read.stack.iter_mut().zip(&written.stack) {
            entry.digest = digest::of(written)?;
            if entry.place.is_empty() && entry.target.is_some() {
                entry.place = StackKind::Url.name().to_owned();
            }
        }
        ensure!(
            !read.stack.is_empty(),
            "plan {shown}: it has no stack: add a [[stack]] with `name`, and `place` or `target`"
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
        ensure!(
            !self.place.is_empty(),
            "`place` is missing: add it, or the `target` file of a gateway"
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
            ensure!(
                !(self.start_endpoints && self.model_server.is_some()),
                "`model_server`: with `start_endpoints`, it is poolproof's; remove one of the two"
            );
            for (field, given) in [("cwd", self.cwd.is_some()), ("env", !self.env.is_empty())] {
                ensure!(
                    !(given && self.start_command.is_empty()),
                    "`{field}`: it is for `start_command`, which is missing; add that or remove `{field}`"
                );
            }
            ensure!(
                self.start_command
                    .first()
                    .is_none_or(|program| !program.is_empty()),
                "`start_command`: its program has no name; write it as the first text of the list"
            );
            for name in self.env.keys() {
                ensure!(
                    !name.is_empty() && !name.contains(['=', '\0']),
                    "`env`: {name:?} cannot be the name of a variable; rename it"
                );
            }
        } else {
            for (field, given) in [
                ("target", self.target.is_some()),
                ("start_command", !self.start_command.is_empty()),
                ("cwd", self.cwd.is_some()),
                ("env", !self.env.is_empty()),
                ("start_endpoints", self.start_endpoints),
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
        let mut fields = vec![
            ("place", "--stack", Some(self.place.clone())),
            ("gateway", "--gateway", part(&self.gateway)),
            ("epp", "--epp", part(&self.epp)),
            ("model_server", "--model-server", part(&self.model_server)),
            ("topology", "--topology", self.topology.as_ref().map(path)),
            ("target", "--target", self.target.as_ref().map(path)),
            ("wait_ready", "--wait-ready", self.wait_ready.clone()),
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

    /// What is started for a target file, checked; `None`: nothing. Its output goes to the folder `out`.
    pub(super) fn private(&self, folder: &Path, out: &Path) -> Result<Option<Private>> {
        if self.start_command.is_empty() && !self.start_endpoints {
            return Ok(None);
        }
        let cwd = self.cwd.as_ref().map(|cwd| folder.join(cwd));
        let cwd = cwd.unwrap_or_else(|| folder.to_owned());
        ensure!(
            cwd.is_dir(),
            "`cwd`: there is no folder {}; it counts from the folder of the plan",
            cwd.display()
        );
        if let Some(program) = self.start_command.first()
            && program.contains('/')
        {
            ensure!(
                cwd.join(program).is_file(),
                "`start_command`: there is no file {}; it counts from the folder of the plan, or from `cwd`",
                cwd.join(program).display()
            );
        }
        let value = |(name, source): (&String, &Source)| {
            let value = source
                .read(folder)
                .with_context(|| format!("`env`: {name}"))?;
            Ok((name.clone(), value))
        };
        Ok(Some(Private {
            command: self.start_command.clone(),
            folder: cwd,
            env: self.env.iter().map(value).collect::<Result<_>>()?,
            endpoints: self.start_endpoints,
            output: out.to_owned(),
        }))
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

/// The target file and the parts come from the line alone: a stack is what its entry says, whatever the environment names.
fn parse(line: &[String]) -> Result<run::Args> {
    let parsed = || {
        let matches = Line::command().try_get_matches_from(line)?;
        let mut run = Line::from_arg_matches(&matches)?.run;
        run.forget(|id| matches.value_source(id) == Some(ValueSource::EnvVariable));
        Ok(run)
    };
    parsed().map_err(|error: clap::Error| {
        let text = error.to_string();
        let message = text.split("\n\n").next().unwrap_or(&text);
        anyhow!(message.trim_start_matches("error: ").trim().to_owned())
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use poolproof_model::target::Target;

    /// The message about a plan with this text.
    fn refused(text: &str) -> String {
        let folder = std::env::temp_dir().join(format!("poolproof-plan-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("plan.toml");
        std::fs::write(&file, text).unwrap();
        let plan = Plan::read(&file).and_then(|plan| {
            plan.stacks.iter().try_for_each(|entry| {
                entry.arguments(plan.folder(), Path::new("out"))?;
                entry.private(plan.folder(), Path::new("out")).map(|_| ())
            })
        });
        let message = format!("{:#}", plan.unwrap_err());
        std::fs::remove_dir_all(&folder).unwrap();
        message
    }

    #[test]
    fn a_wrong_plan_is_refused_with_its_stack_its_field_and_the_remedy() {
        for (text, wanted) in [
            ("", "add a [[stack]]"),
            (
                "[[stack]]\nname = 'a'",
                "`place` is missing: add it, or the `target` file",
            ),
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
                "[[stack]]\nname = 'a'\nplace = 'embedded'\nenv = { A = 'b' }",
                "`env`: only for place url",
            ),
            (
                "[[stack]]\nname = 'a'\ntarget = 't.toml'\nenv = { A = 'b' }",
                "`env`: it is for `start_command`, which is missing",
            ),
            (
                "[[stack]]\nname = 'a'\ntarget = 't.toml'\nstart_command = ['x']\nenv = { A = { env = 'POOLPROOF_NO_SUCH_VARIABLE' } }",
                "`env`: A: the environment variable POOLPROOF_NO_SUCH_VARIABLE is not set",
            ),
            (
                "[[stack]]\nname = 'a'\ntarget = 't.toml'\nstart_command = ['x']\ncwd = 'nowhere'",
                "`cwd`: there is no folder ",
            ),
            (
                "[[stack]]\nname = 'a'\ntarget = 't.toml'\nstart_command = ['./nowhere']",
                "`start_command`: there is no file ",
            ),
            (
                "[[stack]]\nname = 'a'\ntarget = 't.toml'\nstart_command = ['']",
                "`start_command`: its program has no name",
            ),
            (
                "[[stack]]\nname = 'a'\ntarget = 't.toml'\nstart_endpoints = true\nmodel_server = 'vllm@0.9'",
                "`model_server`: with `start_endpoints`",
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
        let entry: File<Entry> = toml::from_str(
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
    #[test]
    fn a_value_of_a_variable_is_hidden_and_still_makes_another_stack() {
        let folder = std::env::temp_dir().join(format!("poolproof-env-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("plan.toml");
        let read = |value: &str| {
            let text = format!(
                "[[stack]]\nname = 'a'\ntarget = 't.toml'\nstart_command = ['x']\nenv = {{ KEY = '{value}' }}"
            );
            std::fs::write(&file, text).unwrap();
            Plan::read(&file).unwrap().stacks.remove(0)
        };
        let (one, other) = (read("sk-canary"), read("sk-other"));
        let shown = serde_json::to_string(&one).unwrap();
        assert!(
            shown.contains("KEY") && !shown.contains("canary"),
            "{shown}"
        );
        assert!(one.digest != other.digest && one.digest == read("sk-canary").digest);
        let private = one.private(&folder, &folder).unwrap().unwrap();
        assert_eq!(private.env["KEY"].reveal(), "sk-canary");
        std::fs::remove_dir_all(&folder).unwrap();
    }
    #[test]
    fn the_committed_plans_are_in_order() {
        let reports = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../reports");
        for name in ["decision.toml", "gateways/controls.toml"] {
            let plan = Plan::read(&reports.join(name)).unwrap();
            for entry in &plan.stacks {
                entry.arguments(plan.folder(), Path::new("out")).unwrap();
                entry.private(plan.folder(), Path::new("out")).unwrap();
                if let Some(target) = &entry.target {
                    Target::load(&plan.folder().join(target)).unwrap();
                }
            }
        }
    }
}
