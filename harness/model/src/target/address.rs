//! The addresses of requests: a base, which may have a path and a query, and a path below it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::{ParseError, Url};

use crate::api::Api;

/// The version that starts the paths of the OpenAI API.
const VERSION: &str = "/v1";

/// Other paths than those of the OpenAI API. They follow the whole path of the url.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Paths {
    /// Instead of `/v1/chat/completions`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chat: Option<String>,
    /// Instead of `/v1/completions`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completions: Option<String>,
}

impl Paths {
    /// Whether all paths are those of the API.
    pub fn are_default(&self) -> bool {
        *self == Self::default()
    }

    fn of(&self, path: &str) -> Option<&str> {
        let own = [
            (Api::Chat, &self.chat),
            (Api::Completions, &self.completions),
        ];
        let own = own.into_iter().find(|(api, _)| api.path() == path);
        own.and_then(|(_, own)| own.as_deref())
    }

    /// The url of a path of the OpenAI API below a base, whose path and query are kept. A base may end with the version of the API, as
    /// the SDKs have it: `/v1` is not repeated. A deployment of Azure OpenAI has no version in its path:
    /// `/openai/deployments/NAME/chat/completions?api-version=...`.
    pub fn url(&self, base: &Url, path: &str) -> Result<Url, ParseError> {
        let whole = base.path().trim_end_matches('/');
        if let Some(own) = self.of(path) {
            let slash = if own.starts_with('/') { "" } else { "/" };
            return with_query(base, &format!("{whole}{slash}{own}"));
        }
        let without_version = whole.strip_suffix(VERSION).unwrap_or(whole);
        if without_version.is_empty() && base.query().is_none() {
            // As it is: cases send paths that are odd on purpose.
            return without_login(base).join(path);
        }
        let own = match path.strip_prefix(VERSION) {
            Some(rest) if rest.starts_with('/') && is_deployment(whole) => rest,
            _ => path,
        };
        with_query(base, &format!("{without_version}{own}"))
    }
}

/// Whether a path is that of a deployment of Azure OpenAI.
fn is_deployment(path: &str) -> bool {
    let mut parts = path.rsplit('/');
    let name = parts.next().is_some_and(|name| !name.is_empty());
    name && parts.next() == Some("deployments") && parts.next() == Some("openai")
}

/// A url with the query of its base before its own.
fn with_query(base: &Url, path: &str) -> Result<Url, ParseError> {
    let mut url = without_login(base).join(path)?;
    if let Some(of_base) = base.query() {
        let query = match url.query() {
            Some(own) => format!("{of_base}&{own}"),
            None => of_base.to_owned(),
        };
        url.set_query(Some(&query));
    }
    Ok(url)
}

/// A url without user name and password, as it is shown.
pub fn without_login(url: &Url) -> Url {
    let mut url = url.clone();
    // Both fail only for urls that cannot have them.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_path_and_the_query_of_a_base_are_kept() {
        for (base, path, expected) in [
            ("http://h", "/v1/completions", "http://h/v1/completions"),
            ("http://h/v1", "/v1/completions", "http://h/v1/completions"),
            ("http://h/v1/", "/v1/models", "http://h/v1/models"),
            ("http://h/v1", "/metrics", "http://h/metrics"),
            ("http://h/a", "/v1/completions", "http://h/a/v1/completions"),
            (
                "http://h/a/v1",
                "/v1/models?x=1",
                "http://h/a/v1/models?x=1",
            ),
            ("http://h/a/", "/metrics", "http://h/a/metrics"),
            (
                "http://h/?k=v",
                "/v1/models?x=1",
                "http://h/v1/models?k=v&x=1",
            ),
            ("http://u:p@h", "/v1/models", "http://h/v1/models"),
            (
                "http://h/openai/deployments/x?api-version=2024-10-21",
                "/v1/chat/completions",
                "http://h/openai/deployments/x/chat/completions?api-version=2024-10-21",
            ),
            (
                "http://h/deployments/x",
                "/v1/chat/completions",
                "http://h/deployments/x/v1/chat/completions",
            ),
            // As without a base path.
            ("http://h", "//v1//completions", "http://v1//completions"),
            ("http://h", "/v1/a/../models", "http://h/v1/models"),
        ] {
            let url = Paths::default().url(&base.parse().unwrap(), path).unwrap();
            assert_eq!(url.as_str(), expected, "{base} {path}");
        }
    }

    #[test]
    fn a_path_of_its_own_follows_the_whole_base() {
        let paths = Paths {
            chat: Some("chat".to_owned()),
            completions: None,
        };
        let base = "http://h/v1?k=v".parse().unwrap();
        let url = |api: Api| paths.url(&base, api.path()).unwrap().to_string();
        assert_eq!(url(Api::Chat), "http://h/v1/chat?k=v");
        assert_eq!(url(Api::Completions), "http://h/v1/completions?k=v");
    }
}
