//! What a JSON text means, exactly: numbers as they are spelled, and each of several members of the same name. The order of
//! members, whitespace and the spelling of strings do not matter (RFC 8259, sections 2, 4 and 7).

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The deepest nesting that is compared; deeper texts are not read.
const DEPTH: usize = 128;
/// The longest part of a value in a description, in characters.
const SHOWN: usize = 60;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Meaning {
    /// `null`, `true`, `false`, or a number as it is spelled.
    Literal(String),
    /// A string without its escapes.
    Text(String),
    /// The elements of an array.
    List(Vec<Meaning>),
    /// The members of an object, sorted by name. Members of the same name keep their order.
    Object(Vec<(String, Meaning)>),
}

impl Meaning {
    /// Reads a text.
    pub(super) fn of(text: &str) -> Result<Self, String> {
        let value: &RawValue =
            serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
        Self::of_raw(value, 0)
    }

    fn of_raw(value: &RawValue, depth: usize) -> Result<Self, String> {
        if depth > DEPTH {
            return Err(format!("nested more than {DEPTH} deep"));
        }
        let text = value.get();
        let failed = |error: serde_json::Error| error.to_string();
        Ok(match text.as_bytes().first() {
            Some(b'"') => Self::Text(serde_json::from_str(text).map_err(failed)?),
            Some(b'[') => {
                let values: Vec<&RawValue> = serde_json::from_str(text).map_err(failed)?;
                let values = values.into_iter();
                let values = values.map(|value| Self::of_raw(value, depth + 1));
                Self::List(values.collect::<Result<_, _>>()?)
            }
            Some(b'{') => {
                let members: Members = serde_json::from_str(text).map_err(failed)?;
                let members = members.0.into_iter();
                let members =
                    members.map(|(name, value)| Ok((name, Self::of_raw(value, depth + 1)?)));
                let mut members = members.collect::<Result<Vec<_>, String>>()?;
                // Stable: members of the same name keep their order.
                members.sort_by(|a, b| a.0.cmp(&b.0));
                Self::Object(members)
            }
            _ => Self::Literal(text.to_owned()),
        })
    }

    /// The member of an object with this name, if it is a string.
    pub(super) fn text_of(&self, name: &str) -> Option<&str> {
        let Self::Object(members) = self else {
            return None;
        };
        members.iter().find_map(|(own, value)| match value {
            Self::Text(text) if own == name => Some(text.as_str()),
            _ => None,
        })
    }

    /// The first difference of what arrived, in words; `None` if it means the same.
    pub(super) fn difference(&self, arrived: &Self) -> Option<String> {
        self.differs(arrived, &mut String::new())
    }

    fn differs(&self, arrived: &Self, path: &mut String) -> Option<String> {
        match (self, arrived) {
            (Self::List(sent), Self::List(arrived)) if sent.len() == arrived.len() => {
                let pairs = sent.iter().zip(arrived).enumerate();
                first(pairs.map(|(place, (a, b))| (place.to_string(), a, b)), path)
            }
            (Self::Object(sent), Self::Object(arrived)) => {
                let names = |members: &[(String, Self)]| -> Vec<String> {
                    members.iter().map(|(name, _)| name.clone()).collect()
                };
                let (own, others) = (names(sent), names(arrived));
                if own != others {
                    let (own, others) = (own.join(" "), others.join(" "));
                    return Some(format!(
                        "at {path}/: sent the members {}, arrived {}",
                        shown(&own),
                        shown(&others)
                    ));
                }
                let pairs = sent.iter().zip(arrived);
                first(pairs.map(|((name, a), (_, b))| (name.clone(), a, b)), path)
            }
            _ if self == arrived => None,
            _ => Some(format!("at {path}: sent {self}, arrived {arrived}")),
        }
    }
}

/// The first difference among pairs of values.
fn first<'a>(
    pairs: impl Iterator<Item = (String, &'a Meaning, &'a Meaning)>,
    path: &mut String,
) -> Option<String> {
    for (name, sent, arrived) in pairs {
        let length = path.len();
        path.push('/');
        path.push_str(&name);
        let difference = sent.differs(arrived, path);
        path.truncate(length);
        if difference.is_some() {
            return difference;
        }
    }
    None
}

impl fmt::Display for Meaning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(text) => f.write_str(&shown(text)),
            Self::Text(text) => f.write_str(&shown(&format!("{text:?}"))),
            Self::List(values) => write!(f, "a list of {}", values.len()),
            Self::Object(members) => write!(f, "an object of {} members", members.len()),
        }
    }
}

fn shown(text: &str) -> String {
    if text.chars().count() <= SHOWN {
        return text.to_owned();
    }
    let start: String = text.chars().take(SHOWN).collect();
    format!("{start}...")
}

/// The members of an object, in the order of the text.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry::<String, &RawValue>()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Reader)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn difference(sent: &str, arrived: &str) -> Option<String> {
        let (sent, arrived) = (Meaning::of(sent).unwrap(), Meaning::of(arrived).unwrap());
        sent.difference(&arrived)
    }

    #[test]
    fn spelling_that_means_the_same_is_no_difference() {
        let sent = r#" { "a" : "\u0041\/\ud83d\ude00" , "b":[1, {"c":null}] } "#;
        let arrived = "{\"b\":[1,{\"c\":null}],\"\\u0061\":\"A/\u{1f600}\"}";
        assert_eq!(difference(sent, arrived), None);
    }

    #[test]
    fn a_number_that_is_spelled_otherwise_is_a_difference() {
        for (sent, arrived) in [
            ("9007199254740993", "9007199254740992"),
            ("0.10", "0.1"),
            ("1e400", "null"),
            ("1", "\"1\""),
            ("-0", "0"),
        ] {
            let sent = format!(r#"{{"a":[0,{sent}]}}"#);
            let arrived = format!(r#"{{"a":[0,{arrived}]}}"#);
            let found = difference(&sent, &arrived).unwrap();
            assert!(found.starts_with("at /a/1: sent "), "{found}");
        }
    }

    #[test]
    fn members_of_one_name_count_each_and_keep_their_order() {
        let sent = r#"{"x":1,"a":0,"x":2}"#;
        assert_eq!(difference(sent, r#"{"a":0,"x":1,"x":2}"#), None);
        assert!(difference(sent, r#"{"a":0,"x":2,"x":1}"#).is_some());
        let found = difference(sent, r#"{"a":0,"x":2}"#).unwrap();
        assert_eq!(found, "at /: sent the members a x x, arrived a x");
    }

    #[test]
    fn what_is_no_json_or_too_deep_is_an_error() {
        assert!(Meaning::of("{").unwrap_err().starts_with("not JSON"));
        assert!(Meaning::of(r#"{"a":1} x"#).is_err());
        let deep = format!("{}1{}", "[".repeat(500), "]".repeat(500));
        assert!(Meaning::of(&deep).is_err());
    }
}
