//! Files of expected failures: cases that are known to fail on a stack or with a version of a component.
//!
//! ```toml
//! [[expected]]
//! case = "faults/endpoint-killed"
//! stack = "kind (agentgateway)"          # as the record spells it; `*` stands for any text
//! version = "*/agentgateway:v1.2.1*"     # of any component; one of stack and version is required
//! reason = "a broken stream ends as if it were complete"
//! link = "https://example.com/issues/1"
//! ```

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toml::Spanned;

use poolproof_model::component::Component;

/// Why a case is expected to fail, and where that is listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Known {
    /// The cause.
    pub reason: String,
    /// Where the cause is described.
    pub link: String,
    /// The file that lists it.
    pub file: String,
    /// The line of the entry's `case`, from 1.
    pub line: usize,
}

/// The expected failures of some files.
#[derive(Clone, Debug, Default)]
pub struct Expectations(Vec<Entry>);

#[derive(Clone, Debug)]
struct Entry {
    case: String,
    stack: Option<String>,
    version: Option<String>,
    known: Known,
}

/// A file as it is written. Unknown fields are errors.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    expected: Vec<Written>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    case: Spanned<String>,
    stack: Option<String>,
    version: Option<String>,
    reason: String,
    link: String,
}

impl Expectations {
    /// Reads files. Fails if an entry names none of the known cases, applies to every stack, or repeats another one.
    pub fn read<'a>(
        paths: impl IntoIterator<Item = &'a Path>,
        is_case: impl Fn(&str) -> bool,
    ) -> Result<Self> {
        let mut all = Self::default();
        for path in paths {
            let file = path.display().to_string();
            let what = || format!("file of expected failures {file}");
            let text = std::fs::read_to_string(path).with_context(what)?;
            all.add(&file, &text, &is_case).with_context(what)?;
        }
        Ok(all)
    }

    fn add(&mut self, file: &str, text: &str, is_case: &impl Fn(&str) -> bool) -> Result<()> {
        let written: File = toml::from_str(text)?;
        for entry in written.expected {
            let line = 1 + text[..entry.case.span().start].matches('\n').count();
            let case = entry.case.into_inner();
            ensure!(
                is_case(&case),
                "line {line}: `case` {case:?} is no case: remove the entry, or use an id that `poolproof list` prints"
            );
            for (field, value) in [
                ("stack", entry.stack.as_deref()),
                ("version", entry.version.as_deref()),
                ("reason", Some(entry.reason.as_str())),
                ("link", Some(entry.link.as_str())),
            ] {
                ensure!(
                    value.is_none_or(|value| !value.trim().is_empty()),
                    "line {line}: `{field}` of {case:?} is empty: fill it in"
                );
            }
            ensure!(
                entry.stack.is_some() || entry.version.is_some(),
                "line {line}: {case:?} has neither `stack` nor `version`: add the stack or the component version that fails"
            );
            let same = |other: &&Entry| {
                (&other.case, &other.stack, &other.version) == (&case, &entry.stack, &entry.version)
            };
            if let Some(other) = self.0.iter().find(same) {
                repeated(&case, &other.known, file, line)?;
            }
            self.0.push(Entry {
                case,
                stack: entry.stack,
                version: entry.version,
                known: Known {
                    reason: entry.reason,
                    link: entry.link,
                    file: file.to_owned(),
                    line,
                },
            });
        }
        Ok(())
    }

    /// The entries for this stack, by case. Fails if two of them are about one case.
    pub fn applying(
        &self,
        stack: &str,
        components: &[Component],
    ) -> Result<BTreeMap<String, Known>> {
        let mut applying: BTreeMap<String, Known> = BTreeMap::new();
        for entry in &self.0 {
            let on_stack = entry
                .stack
                .as_deref()
                .is_none_or(|pattern| fits(pattern, stack));
            let with_version = entry.version.as_deref().is_none_or(|pattern| {
                let mut versions = components.iter().map(|component| &component.version);
                versions.any(|version| fits(pattern, version))
            });
            if !on_stack || !with_version {
                continue;
            }
            if let Some(other) = applying.get(&entry.case) {
                repeated(&entry.case, other, &entry.known.file, entry.known.line)?;
            }
            applying.insert(entry.case.clone(), entry.known.clone());
        }
        Ok(applying)
    }
}

/// The error of a second entry for one case and stack.
fn repeated(case: &str, first: &Known, file: &str, line: usize) -> Result<()> {
    anyhow::bail!(
        "{file}:{line}: `case` {case:?} repeats {}:{} for the same stack: remove one of the two",
        first.file,
        first.line
    )
}

/// True if a text has the form of a pattern, in which `*` stands for any text.
fn fits(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut text) = text.strip_prefix(start) else {
        return false;
    };
    let (middle, end) = rest.rsplit_once('*').unwrap_or(("", rest));
    // The first occurrence leaves the most text for the parts behind it.
    for part in middle.split('*') {
        let Some(at) = text.find(part) else {
            return false;
        };
        text = &text[at + part.len()..];
    }
    text.ends_with(end)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Expectations> {
        let mut all = Expectations::default();
        all.add("known.toml", text, &|case: &str| case.starts_with("a/"))?;
        Ok(all)
    }

    fn entry(case: &str, on: &str) -> String {
        format!("[[expected]]\ncase = '{case}'\n{on}\nreason = 'r'\nlink = 'l'\n")
    }

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text) in [
            ("local (envoy)", "local (envoy)"),
            ("*", ""),
            ("local*", "local (envoy)"),
            ("*(envoy)", "local (envoy)"),
            (
                "*/agentgateway:v1.2.1*",
                "x.dev/agentgateway:v1.2.1 (sha256:1)",
            ),
            ("a*b*c", "a-b-b-c"),
        ] {
            assert!(fits(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("local", "local (envoy)"),
            ("*(envoy)", "local (agentgateway)"),
            ("a*a", "a"),
            ("a*b*c", "a-c-b"),
        ] {
            assert!(!fits(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn an_entry_applies_only_to_its_stack_and_version() {
        let text = entry("a/by-stack", "stack = 'kind (*)'")
            + &entry("a/by-version", "version = 'Envoy */1.39.3/*'")
            + &entry("a/by-both", "stack = 'local*'\nversion = 'Envoy *'");
        let all = read(&text).unwrap();
        let envoy = [Component::new("gateway", "Envoy 6eb0/1.39.3/Clean")];
        let cases = |stack: &str, components: &[Component]| -> Vec<String> {
            all.applying(stack, components)
                .unwrap()
                .into_keys()
                .collect()
        };
        assert_eq!(cases("kind (envoy)", &[]), ["a/by-stack"]);
        assert_eq!(
            cases("local (envoy)", &envoy),
            ["a/by-both", "a/by-version"]
        );
        assert!(cases("local (envoy)", &[]).is_empty());
        let applying = all.applying("kind (envoy)", &[]).unwrap();
        let known = &applying["a/by-stack"];
        assert_eq!((known.file.as_str(), known.line), ("known.toml", 2));
    }

    #[test]
    fn the_error_of_a_wrong_entry_has_line_field_and_remedy() {
        let on = "stack = 's'";
        for (text, wanted) in [
            (
                entry("b/other", on),
                "line 2: `case` \"b/other\" is no case",
            ),
            (entry("a/x", ""), "line 2: \"a/x\" has neither"),
            (
                entry("a/x", "stack = ' '"),
                "line 2: `stack` of \"a/x\" is empty",
            ),
            (
                entry("a/x", on) + &entry("a/x", on),
                "known.toml:7: `case` \"a/x\" repeats known.toml:2",
            ),
            (entry("a/x", "stacks = 's'"), "unknown field `stacks`"),
            (
                "[[expected]]\ncase = 'a/x'".to_owned(),
                "missing field `reason`",
            ),
        ] {
            let error = format!("{:#}", read(&text).unwrap_err());
            assert!(error.contains(wanted), "{error}");
        }
    }

    #[test]
    fn two_entries_of_one_case_for_one_stack_are_an_error() {
        let text = entry("a/x", "stack = 'kind*'") + &entry("a/x", "stack = '*(envoy)'");
        let all = read(&text).unwrap();
        assert_eq!(all.applying("kind (agentgateway)", &[]).unwrap().len(), 1);
        let error = all.applying("kind (envoy)", &[]).unwrap_err().to_string();
        assert!(
            error.contains("known.toml:7") && error.contains("remove one"),
            "{error}"
        );
    }

    #[test]
    fn the_committed_files_list_what_failed_in_the_committed_runs() {
        use crate::run::Record;
        use poolproof_model::verdict::{Level, Verdict};
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let paths = |folder: &str| -> Vec<std::path::PathBuf> {
            let entries = std::fs::read_dir(root.join(folder)).unwrap();
            entries.map(|entry| entry.unwrap().path()).collect()
        };
        let files = paths("ci/expect");
        let files = files.iter().map(std::path::PathBuf::as_path);
        let all = Expectations::read(files, |_| true).unwrap();
        let (mut applied, mut runs) = (0, 0);
        for path in paths("reports")
            .iter()
            .map(|folder| folder.join("run.json"))
        {
            if !path.exists() {
                continue;
            }
            runs += 1;
            let record = Record::read(&path).unwrap();
            let known = all.applying(&record.stack, &record.components).unwrap();
            for case in &record.cases {
                let (place, is_known) = (path.display(), known.contains_key(&case.id));
                applied += usize::from(is_known);
                let verdict = case.outcome.verdict;
                assert!(
                    !is_known || verdict != Verdict::Pass,
                    "{place}: {} passes",
                    case.id
                );
                // A gateway without an endpoint picker is a control, which must fail.
                let mut components = record.components.iter();
                let is_traced = components.any(|component| component.role == "epp");
                if verdict == Verdict::Fail && case.level == Level::Must && is_traced {
                    assert!(is_known, "{place}: {} is listed nowhere", case.id);
                }
            }
        }
        assert!(runs > 0 && applied > 0);
    }

    #[test]
    fn a_file_without_entries_expects_nothing() {
        assert!(read("").unwrap().applying("s", &[]).unwrap().is_empty());
    }
}
