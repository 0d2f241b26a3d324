//! Which build of a part a stack uses: `NAME`, `NAME@VERSION` or `NAME@file:PATH`.

use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Error, Result, ensure};

use crate::parts::Named;

/// The mark between the name of a part and its build.
pub const MARK: char = '@';
/// The start of a build that is a file.
const FILE: &str = "file:";

/// The build of a part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Build {
    /// The default version.
    #[default]
    Default,
    /// This version.
    Version(String),
    /// A program of the user.
    File(PathBuf),
}

/// A part and its build, as on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice<T> {
    /// The part.
    pub part: T,
    /// Its build.
    pub build: Build,
}

/// The builds of the parts of a stack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Builds {
    /// Of the gateway.
    pub gateway: Build,
    /// Of the endpoint pickers.
    pub epp: Build,
    /// Of the model servers.
    pub model_server: Build,
}

impl<T: Named> FromStr for Choice<T> {
    type Err = Error;

    /// Fails with the list of valid names. Whether a version exists is not checked here.
    fn from_str(text: &str) -> Result<Self> {
        let (name, build) = match text.split_once(MARK) {
            None => (text, Build::Default),
            Some((name, build)) => (name, build_of(name, build)?),
        };
        Ok(Self {
            part: name.parse()?,
            build,
        })
    }
}

fn build_of(name: &str, text: &str) -> Result<Build> {
    let file = text.strip_prefix(FILE);
    ensure!(
        !text.is_empty() && file != Some(""),
        "{name}{MARK}{text} ends too early: write {name}{MARK}VERSION or {name}{MARK}{FILE}PATH"
    );
    Ok(match file {
        Some(path) => Build::File(path.into()),
        None => Build::Version(text.to_owned()),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::parts::Gateway;

    #[test]
    fn a_name_has_a_version_or_a_file_or_neither() {
        let build = |text: &str| {
            let choice: Choice<Gateway> = text.parse().unwrap();
            assert_eq!(choice.part, Gateway::Envoy);
            choice.build
        };
        assert_eq!(build("envoy"), Build::Default);
        assert_eq!(build("envoy@1.38.3"), Build::Version("1.38.3".into()));
        assert_eq!(build("envoy@file:./a@b"), Build::File("./a@b".into()));
    }

    #[test]
    fn an_empty_version_or_file_and_an_unknown_name_are_refused() {
        let refused = |text: &str| text.parse::<Choice<Gateway>>().unwrap_err().to_string();
        for text in ["envoy@", "envoy@file:"] {
            assert!(refused(text).contains("envoy@VERSION"), "{text}");
        }
        assert!(refused("nginx@1").contains("must be one of agentgateway"));
    }
}
