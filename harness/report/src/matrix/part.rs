//! The name and version of a part, from what a record says of a component.
//!
//! Records keep what a component or its image reports: `Envoy COMMIT/1.39.3/Clean/RELEASE/BoringSSL`, an image reference, `NAME VERSION`. A
//! matrix compares versions of one part across places, so each form is reduced to one name and one version.

use std::cmp::Ordering;
use std::fmt;

use serde::Serialize;

/// How much of a commit or a digest is shown.
const HASH_SHOWN: usize = 9;

/// A part of a stack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Part {
    /// Its name, such as `envoy`.
    pub name: String,
    /// Its version; absent if the record has none.
    pub version: Option<String>,
}

impl Part {
    /// Reads the text of a component.
    pub fn parse(text: &str) -> Self {
        let (reported, image) = match text.rsplit_once(" in ") {
            Some((reported, image)) if is_image(before_note(image)) => (reported, Some(image)),
            _ if is_image(before_note(text)) => ("", Some(text)),
            _ => (text, None),
        };
        let (mut name, mut version) = name_and_version(before_note(reported));
        if let Some((path, tag)) = image.and_then(|image| before_note(image).rsplit_once(':')) {
            if name.is_empty() {
                name = name_of_image(path);
            }
            version = version.or_else(|| Some(shortened(tag)));
        }
        Self {
            name: usual_name(&name),
            version,
        }
    }

    /// A part whose version is not known.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: None,
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            Some(version) => write!(f, "{}@{version}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// Compares texts with their numbers by value: `v1.9` comes before `v1.10`.
pub(super) fn by_number(left: &str, right: &str) -> Ordering {
    pieces(left).cmp(&pieces(right))
}

/// Runs of digits by value, and the text between them. A number comes before a text.
fn pieces(text: &str) -> Vec<(Option<u64>, &str)> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let digit = first.is_ascii_digit();
        let end = rest.find(|c: char| c.is_ascii_digit() != digit);
        let (piece, after) = rest.split_at(end.unwrap_or(rest.len()));
        let number = piece.parse().ok();
        pieces.push((
            number.or(Some(u64::MAX)),
            if number.is_some() { "" } else { piece },
        ));
        rest = after;
    }
    pieces
}

/// The text before a note in parentheses.
fn before_note(text: &str) -> &str {
    let end = text.find(" (").unwrap_or(text.len());
    text[..end].trim()
}

/// `HOST/PATH:TAG`, in one word.
fn is_image(text: &str) -> bool {
    let after = text.rsplit_once('/').map(|(_, after)| after);
    !text.contains(' ') && after.is_some_and(|after| after.contains(':'))
}

fn name_of_image(path: &str) -> String {
    // The images of GIE are named after their role.
    if path.contains("gateway-api-inference-extension/") {
        return "gie".to_owned();
    }
    let name = path.rsplit('/').next().unwrap_or(path);
    name.to_owned()
}

/// `NAME VERSION`. The version is the last word if it has the form of one.
fn name_and_version(text: &str) -> (String, Option<String>) {
    let text = text.trim().trim_end_matches(':');
    let Some((name, last)) = text.rsplit_once(' ') else {
        return (text.to_owned(), None);
    };
    // Envoy reports commit, version, state, build and TLS library.
    let version = last.split('/').find(|piece| is_version(piece));
    match version {
        Some(version) => (name.to_owned(), Some(shortened(version))),
        None if is_hash(last) => (name.to_owned(), Some(shortened(last))),
        None => (text.to_owned(), None),
    }
}

fn is_version(text: &str) -> bool {
    let number = text.strip_prefix('v').unwrap_or(text);
    number.starts_with(|c: char| c.is_ascii_digit()) && number.contains('.')
}

/// A commit, with a suffix or without.
fn is_hash(text: &str) -> bool {
    let hash = text.split('-').next().unwrap_or(text);
    hash.len() > HASH_SHOWN && hash.chars().all(|c| c.is_ascii_hexdigit())
}

/// The start of a commit with its suffix; any other version as it is.
fn shortened(version: &str) -> String {
    if !is_hash(version) {
        return version.to_owned();
    }
    let (hash, suffix) = version.split_at(version.find('-').unwrap_or(version.len()));
    format!("{}{suffix}", &hash[..HASH_SHOWN])
}

/// The name by which the command line knows a part.
fn usual_name(name: &str) -> String {
    let small = name.to_lowercase();
    if small.contains("gateway api inference extension") {
        "gie".to_owned()
    } else if small.starts_with("poolproof") {
        "poolproof".to_owned()
    } else if small.contains(' ') {
        name.to_owned()
    } else {
        small
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_component_is_reduced_to_one_name_and_version() {
        for (text, wanted) in [
            (
                "Envoy 6eb0d2d97489ec1b4e15/1.39.3/Clean/RELEASE/BoringSSL",
                "envoy@1.39.3",
            ),
            ("docker.io/envoyproxy/envoy:v1.39.3", "envoy@v1.39.3"),
            (
                "Envoy in docker.io/envoyproxy/envoy:v1.39.3 (sha256:7561)",
                "envoy@v1.39.3",
            ),
            (
                "agentgateway 6a2d02dbb35a289738d0fdba88e5a474e432a72a-dirty",
                "agentgateway@6a2d02dbb-dirty",
            ),
            (
                "cr.agentgateway.dev/agentgateway:v1.2.1 (sha256:ea8c)",
                "agentgateway@v1.2.1",
            ),
            (
                "Gateway API Inference Extension endpoint picker v1.5.0",
                "gie@v1.5.0",
            ),
            (
                "Gateway API Inference Extension endpoint picker v1.5.0 in registry.k8s.io/gateway-api-inference-extension/epp:v1.5.0 (sha256:8c)",
                "gie@v1.5.0",
            ),
            (
                "registry.k8s.io/gateway-api-inference-extension/epp:v1.5.0",
                "gie@v1.5.0",
            ),
            (
                "llm-d-inference-sim (does not say its version; v0.8.2 is wanted)",
                "llm-d-inference-sim",
            ),
            (
                "llm-d-inference-sim (does not say its version; v0.8.2 is wanted) in ghcr.io/llm-d/llm-d-inference-sim:v0.8.2 (sha256:cc)",
                "llm-d-inference-sim@v0.8.2",
            ),
            (
                "docker.io/library/poolproof:7368fbda93163b04",
                "poolproof@7368fbda9",
            ),
            ("poolproof reference gateway 0.1.0", "poolproof@0.1.0"),
            ("my-gateway 2.1 (declared by the plan)", "my-gateway@2.1"),
            ("", ""),
            ("in", "in"),
            (" in (", "in"),
        ] {
            assert_eq!(Part::parse(text).to_string(), wanted, "{text}");
        }
    }

    #[test]
    fn versions_are_ordered_by_their_numbers() {
        let mut versions = ["v1.10.0", "v1.9.2", "v1.9.10", "v1.9.2-rc.1", "v0.10"];
        versions.sort_by(|left, right| by_number(left, right));
        assert_eq!(
            versions,
            ["v0.10", "v1.9.2", "v1.9.2-rc.1", "v1.9.10", "v1.10.0"]
        );
    }
}
