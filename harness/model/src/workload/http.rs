//! The HTTP version of a workload.

use std::fmt;

use schemars::JsonSchema;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// An HTTP version. Without TLS, HTTP/2 uses prior knowledge (RFC 9113, section 3.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub enum Http {
    /// HTTP/1.1: one connection per open request.
    #[default]
    #[serde(rename = "1.1")]
    One,
    /// HTTP/2: up to a hundred requests share a connection.
    #[serde(rename = "2")]
    Two,
}

impl<'de> Deserialize<'de> for Http {
    /// The error names the two values, since a number is written easily: `http = 2`.
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Version;

        impl Visitor<'_> for Version {
            type Value = Http;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("one of the texts \"1.1\" and \"2\", with quotes")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Http, E> {
                match text {
                    "1.1" => Ok(Http::One),
                    "2" => Ok(Http::Two),
                    _ => Err(E::invalid_value(serde::de::Unexpected::Str(text), &self)),
                }
            }
        }

        from.deserialize_any(Version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_that_is_no_text_or_does_not_exist_is_refused_with_the_two_that_do() {
        let read = |value: &str| {
            let table = toml::from_str::<toml::Table>(&format!("http = {value}"));
            let value = table.ok().and_then(|mut table| table.remove("http"));
            value.map(toml::Value::try_into::<Http>)
        };
        for (text, version) in [("'1.1'", Http::One), ("\"2\"", Http::Two)] {
            assert_eq!(read(text), Some(Ok(version)));
        }
        for wrong in ["2", "1.1", "'1.0'", "true"] {
            let message = read(wrong)
                .and_then(Result::err)
                .map(|error| error.to_string());
            let named = |text: &String| text.contains("\"1.1\" and \"2\"");
            assert!(message.as_ref().is_some_and(named), "{wrong}: {message:?}");
        }
    }
}
