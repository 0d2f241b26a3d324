//! Values that must not be seen: keys, passwords, headers.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use anyhow::{Context, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

/// What records, logs and messages show instead of a secret.
pub const HIDDEN: &str = "(hidden)";

/// The shortest text that is known again in what servers send, in bytes. Keys are longer, and short words are in any text.
const KNOWN_MIN_BYTES: usize = 8;

/// The texts that [`conceal`] hides, the longest first.
static KNOWN: RwLock<Vec<String>> = RwLock::new(Vec::new());

/// Has [`conceal`] hide a value that is sent, and each long word of it: `Bearer KEY` is known again by the key alone.
pub fn remember(value: &str) {
    let words = value.split_ascii_whitespace().chain([value]);
    let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
    for word in words.filter(|word| word.len() >= KNOWN_MIN_BYTES) {
        if known.iter().all(|known| known != word) {
            known.push(word.to_owned());
        }
    }
    known.sort_by_key(|known| std::cmp::Reverse(known.len()));
}

/// Hides in a text of a server what was sent to it in secret. Some servers repeat a refused key in the error.
pub fn conceal(text: &str) -> Cow<'_, str> {
    let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner);
    let mut shown = Cow::Borrowed(text);
    for secret in known.iter() {
        if shown.contains(secret.as_str()) {
            shown = shown.replace(secret.as_str(), HIDDEN).into();
        }
        // The text may have been cut within it.
        let ends = secret.char_indices().map(|(at, _)| at).rev();
        let mut starts = ends.filter(|at| *at >= KNOWN_MIN_BYTES);
        if let Some(at) = starts.find(|at| shown.ends_with(&secret[..*at])) {
            shown = (shown[..shown.len() - at].to_owned() + HIDDEN).into();
        }
    }
    shown
}

/// A value that is sent, and never shown: it has no `Display`, and `Debug` and `Serialize` write [`HIDDEN`].
#[derive(Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Hides a value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value, for the bytes of a request and for the process that sends it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(HIDDEN)
    }
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(
    untagged,
    deny_unknown_fields,
    expecting = "must be a text, { env = \"NAME\" } or { file = \"PATH\" }"
)]
pub enum Source {
    /// The value itself. Records show it as hidden.
    Literal(Secret),
    /// An environment variable.
    Env {
        /// Its name.
        env: String,
    },
    /// A file. Line ends at its end are left out.
    File {
        /// Its path; a relative one counts from the folder of the target file.
        file: PathBuf,
    },
}

impl Source {
    /// Reads the value; relative paths count from `folder`.
    pub fn read(&self, folder: &Path) -> Result<Secret> {
        match self {
            Self::Literal(secret) => Ok(secret.clone()),
            Self::Env { env } => from_env(env),
            Self::File { file } => from_file(&folder.join(file)),
        }
    }
}

/// The value of an environment variable. Fails if it is not set or empty.
pub fn from_env(name: &str) -> Result<Secret> {
    let value = std::env::var(name).ok().filter(|value| !value.is_empty());
    let value = value.with_context(|| format!("the environment variable {name} is not set"))?;
    Ok(Secret(value))
}

/// The content of a file, without line ends at its end. Fails if it cannot be read or is empty.
pub fn from_file(path: &Path) -> Result<Secret> {
    let text = std::fs::read_to_string(path);
    let text = text.with_context(|| format!("reading {}", path.display()))?;
    let value = text.trim_end_matches(['\r', '\n']);
    anyhow::ensure!(!value.is_empty(), "{} is empty", path.display());
    Ok(Secret(value.to_owned()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_shown_nowhere() {
        let secret = Secret::new("sk-canary");
        let shown = [
            format!("{secret:?} {:?}", Some(&secret)),
            serde_json::to_string(&secret).unwrap(),
            toml::to_string(&Source::Literal(secret.clone())).unwrap_or_default(),
            serde_json::to_string(&Source::Literal(secret.clone())).unwrap(),
            format!("{:?}", Source::Literal(secret.clone())),
        ];
        for text in shown {
            assert!(!text.contains("canary"), "{text}");
        }
        assert_eq!(secret.reveal(), "sk-canary");
    }

    #[test]
    fn a_secret_that_a_server_repeats_is_hidden_whole_and_cut() {
        remember("Bearer sk-repeated-0123");
        remember("short");
        for (text, shown) in [
            ("wrong key sk-repeated-0123!", "wrong key (hidden)!"),
            ("Bearer sk-repeated-0123", "(hidden)"),
            ("wrong key sk-repeate", "wrong key (hidden)"),
            ("wrong key sk-repe", "wrong key sk-repe"),
            ("a short text", "a short text"),
        ] {
            assert_eq!(conceal(text), shown);
        }
    }

    #[test]
    fn a_value_comes_from_where_its_source_names() {
        let folder = std::env::temp_dir();
        let name = format!("poolproof-secret-{}", std::process::id());
        std::fs::write(folder.join(&name), "from a file\r\n").unwrap();
        let of = |text: &str| {
            #[derive(Deserialize)]
            struct One {
                x: Source,
            }
            let one: One = toml::from_str(&format!("x = {text}"))?;
            one.x.read(&folder).map(|it| it.reveal().to_owned())
        };
        assert_eq!(of("'literal'").unwrap(), "literal");
        assert_eq!(
            of(&format!("{{ file = '{name}' }}")).unwrap(),
            "from a file"
        );
        assert!(!of("{ env = 'PATH' }").unwrap().is_empty());
        let missing = of("{ env = 'POOLPROOF_NO_SUCH_VARIABLE' }").unwrap_err();
        assert!(missing.to_string().contains("POOLPROOF_NO_SUCH_VARIABLE"));
        let wrong = of("{ envv = 'PATH' }").unwrap_err().to_string();
        assert!(wrong.contains("{ env = \"NAME\" }"), "{wrong}");
        std::fs::remove_file(folder.join(name)).unwrap();
    }
}
