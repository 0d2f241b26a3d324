//! Reads a target file: checks its values, and names the line and the field of an error without the value.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use http::HeaderName;
use serde::{Deserialize, Deserializer, de};
use url::Url;

use super::{HIDDEN, Target};
use crate::routed;

/// Reads a URL. The error of one without a scheme names the two that exist, and not its text, which may have a password.
pub(super) fn with_scheme<'de, D: Deserializer<'de>>(from: D) -> Result<Url, D::Error> {
    let text = String::deserialize(from)?;
    let has_scheme = text.starts_with("http://") || text.starts_with("https://");
    match Url::parse(&text) {
        Ok(url) if has_scheme => Ok(url),
        Err(error) if has_scheme => Err(de::Error::custom(format!("`url`: {error}"))),
        _ => Err(de::Error::custom(
            "`url` must start with http:// or https://, such as http://127.0.0.1:8000",
        )),
    }
}

impl Target {
    /// Reads a target from a TOML file and checks it.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("reading target file {}", path.display()))?;
        let read = || -> Result<Self> {
            let target: Self =
                toml::from_str(&text).map_err(|error| without_line(&error, &text))?;
            let mut target = target.named();
            target.check()?;
            target.resolve(path.parent().unwrap_or(Path::new("")))?;
            Ok(target)
        };
        read().with_context(|| format!("target file {}", path.display()))
    }

    /// With the default name, if it has none.
    fn named(mut self) -> Self {
        if self.name.is_empty() {
            self.name = Self::name_of(&self.url);
        }
        self
    }

    fn check(&self) -> Result<()> {
        ensure!(
            self.url.scheme() == "http" || self.url.scheme() == "https",
            "`url` must start with http:// or https://"
        );
        let objective = ("objective_header", Some(&self.objective_header));
        for (field, header) in [
            objective,
            ("served_by_header", self.served_by_header.as_ref()),
        ] {
            ensure!(
                header.is_none_or(|name| name.parse::<HeaderName>().is_ok()),
                "`{field}` is {:?}: it must be the name of an HTTP header",
                header.map_or("", String::as_str)
            );
        }
        self.parameters.check().context("`parameters`")?;
        routed::check(&self.models)?;
        let mut names = BTreeSet::new();
        for endpoint in self.endpoints() {
            ensure!(
                names.insert(&endpoint.name),
                "`endpoints`: duplicate name {:?}",
                endpoint.name
            );
        }
        Ok(())
    }
}

/// A message of a parser without the value that it refuses: texts in double quotes behind `string` or a colon. Names of fields are in
/// backticks.
fn without_values(message: &str) -> String {
    let starts = ["string \"", ": \""].into_iter();
    let starts = starts.filter_map(|start| Some(message.find(start)? + start.len() - 1));
    let Some(start) = starts.min() else {
        return message.to_owned();
    };
    let rest = message.find("\", expected").map(|end| &message[end + 1..]);
    format!("{}{HIDDEN}{}", &message[..start], rest.unwrap_or_default())
}

/// An error of the file with the number and the field of its line, and without its value, which may be a key or a password.
fn without_line(error: &toml::de::Error, text: &str) -> anyhow::Error {
    let before = error.span().and_then(|span| text.get(..span.start));
    let number = before.map_or(0, |before| before.matches('\n').count());
    let field = text.lines().nth(number).and_then(|line| {
        let name = line.split_once('=')?.0.trim();
        let is_name = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        (!name.is_empty() && name.chars().all(is_name)).then_some(name)
    });
    let field = field.map_or_else(String::new, |name| format!(", `{name}`"));
    let line = number + 1;
    let message = without_values(error.message());
    let message = message.replace(
        "relative URL without a base",
        "a url must start with http:// or https://",
    );
    anyhow::anyhow!("line {line}{field}: {message}")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::target::GIE_OBJECTIVE_HEADER;

    const EXAMPLE: &str = r#"
        name = "my-gateway"
        url = "http://127.0.0.1:8081"

        [[models]]
        name = "model-a"
        [[models.pools]]
        name = "model-a"
        weight = 100
        flow_control = true
        [[models.pools.endpoints]]
        name = "sim-a-0"
        url = "http://127.0.0.1:8001"

        [objectives]
        interactive = 10
        batch = -10
    "#;

    #[test]
    fn an_example_is_read_and_written_back() {
        let target: Target = toml::from_str(EXAMPLE).unwrap();
        target.check().unwrap();
        assert_eq!(target.objective_header, GIE_OBJECTIVE_HEADER);
        assert_eq!(target.priority_classes(), Some(("interactive", "batch")));
        let again: Target = toml::from_str(&toml::to_string(&target).unwrap()).unwrap();
        assert_eq!(again, target);
    }

    #[test]
    fn an_unknown_field_is_named() {
        let text = EXAMPLE.replace("weight = 100", "wait = 100");
        let message = toml::from_str::<Target>(&text).unwrap_err().to_string();
        assert!(message.contains("unknown field `wait`"), "{message}");
    }

    #[test]
    fn a_name_and_a_weight_have_defaults() {
        let text = "url = 'http://me:secret@127.0.0.1:1/'\n[[models]]\nname = 'm'\npools = [{ name = 'p' }]";
        let target = toml::from_str::<Target>(text).unwrap().named();
        assert_eq!(target.name, "http://127.0.0.1:1");
        assert_eq!(target.models[0].pools[0].weight, 1);
    }

    #[test]
    fn an_address_without_a_scheme_is_refused_with_the_schemes_and_without_its_text() {
        for url in [
            "127.0.0.1:8000",
            "localhost:8000",
            "me:secret@host:1",
            "ftp://h",
        ] {
            let text = EXAMPLE.replace("http://127.0.0.1:8081", url);
            let message = toml::from_str::<Target>(&text).unwrap_err();
            let message = message.message();
            assert!(message.contains("http:// or https://"), "{message}");
            assert!(!message.contains("secret"), "{message}");
        }
    }

    #[test]
    fn a_message_has_no_value_of_the_file() {
        for (message, shown) in [
            (
                "unknown field `wait`, expected `a`",
                "unknown field `wait`, expected `a`",
            ),
            (
                "invalid type: string \"k\\\"y\", expected struct ApiKey",
                "invalid type: string (hidden), expected struct ApiKey",
            ),
            ("empty host: \"http://u:p@\"", "empty host: (hidden)"),
            ("must be { env = \"NAME\" }", "must be { env = \"NAME\" }"),
        ] {
            assert_eq!(without_values(message), shown);
        }
    }

    #[test]
    fn a_model_without_pools_is_refused() {
        let target: Target =
            toml::from_str("name='g'\nurl='http://127.0.0.1:1'\n[[models]]\nname='m'").unwrap();
        let message = target.check().unwrap_err().to_string();
        assert!(
            message.contains("\"m\"") && message.contains("`pools`"),
            "{message}"
        );
    }
}
