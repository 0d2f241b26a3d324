//! The digest of a record: it shows that a record is as poolproof saved it.
//!
//! A digest finds edits and cuts, accidental or careless. It is no signature: who edits a record can compute a new digest. A record that
//! matters is reproduced, with the seed and the versions that it names.

use std::fmt;
use std::path::Path;

use anyhow::{Context, Result};
use ring::digest::{SHA256, digest};
use serde::Serialize;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::file::{Kind, parse, read_kind};
use crate::load::picker::PickerLoad;
use crate::run::Record;

/// The field that holds the digest. It is not part of what is digested.
const FIELD: &str = "digest";
/// The start of a digest, which names its hash function.
const PREFIX: &str = "sha256:";

/// The digest of a record: SHA-256 over its canonical JSON, without the digest itself.
pub fn of(record: &impl Serialize) -> Result<String> {
    // Digested as it is read back: a number is the one that its text gives.
    let text = serde_json::to_string(record).context("writing a record as JSON")?;
    let value = serde_json::from_str(&text).context("reading a record back")?;
    Ok(of_value(&value))
}

fn of_value(record: &Value) -> String {
    let mut text = String::new();
    canonical(record, true, &mut text);
    let hash = digest(&SHA256, text.as_bytes());
    PREFIX.to_owned() + &hex(hash.as_ref())
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Appends JSON without spaces, with the keys of each object in byte order.
fn canonical(value: &Value, is_record: bool, text: &mut String) {
    match value {
        Value::Object(fields) => {
            let mut keys: Vec<&String> = fields.keys().collect();
            keys.retain(|key| !(is_record && *key == FIELD));
            keys.sort();
            text.push('{');
            for (number, key) in keys.into_iter().enumerate() {
                if number > 0 {
                    text.push(',');
                }
                *text += &Value::from(key.as_str()).to_string();
                text.push(':');
                canonical(&fields[key], false, text);
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for (number, item) in items.iter().enumerate() {
                if number > 0 {
                    text.push(',');
                }
                canonical(item, false, text);
            }
            text.push(']');
        }
        plain => *text += &plain.to_string(),
    }
}

/// JSON whose objects have each key once. Readers differ in which of two values they take, so that one can hide the other.
struct Single(Value);

impl<'de> Deserialize<'de> for Single {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Value;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any JSON")
            }
            fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
                Ok(value.into())
            }
            fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
                Ok(number.into())
            }
            fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
                Ok(number.into())
            }
            fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
                Ok(number.into())
            }
            fn visit_str<E>(self, text: &str) -> Result<Value, E> {
                Ok(text.into())
            }
            fn visit_unit<E>(self) -> Result<Value, E> {
                Ok(Value::Null)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
                let mut items = Vec::new();
                while let Some(Single(item)) = seq.next_element()? {
                    items.push(item);
                }
                Ok(items.into())
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
                let mut fields = Map::new();
                while let Some((key, Single(value))) = map.next_entry::<String, Single>()? {
                    if fields.contains_key(&key) {
                        return Err(A::Error::custom(format!("it has {key:?} twice")));
                    }
                    fields.insert(key, value);
                }
                Ok(fields.into())
            }
        }
        deserializer.deserialize_any(Any).map(Self)
    }
}

/// Why a record is refused as evidence.
#[derive(Debug)]
pub enum Refusal {
    /// It is not a whole record of a run.
    Unreadable(anyhow::Error),
    /// It is a record of another kind.
    Kind(Kind),
    /// It was made before digests were kept.
    NoDigest,
    /// It is not as it was saved.
    Edited,
    /// It was made with a flaw, so it shows no real stack.
    Flaw(String),
    /// Its run was interrupted, so parts of it are missing.
    Interrupted,
    /// It has none of what it should hold.
    Empty(&'static str),
}

/// A record that can serve as evidence.
#[derive(Debug)]
pub enum Verified {
    /// A run of cases.
    Run(Box<Record>),
    /// Load on a picker.
    Picker(Box<PickerLoad>),
}

/// What a record claims of itself.
struct Claims<'a> {
    digest: Option<&'a str>,
    flaw: Option<&'a String>,
    interrupted: bool,
    /// What it holds, and whether it has any.
    parts: (&'static str, bool),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => write!(f, "cut or not a record: {error:#}"),
            Self::Kind(kind) => write!(
                f,
                "it holds {}: only {} and {} are verified",
                kind.describe(),
                Kind::Run.describe(),
                Kind::Picker.describe()
            ),
            Self::NoDigest => f.write_str(
                "made before digests were kept, so an edit cannot be seen: run it again",
            ),
            Self::Edited => f.write_str(
                "edited: its content does not match its digest; send the file as poolproof wrote it",
            ),
            Self::Flaw(flaw) => write!(
                f,
                "made with the flaw {flaw}, so it shows no real stack: run it without --flaw"
            ),
            Self::Interrupted => {
                f.write_str("interrupted: parts of it are missing; run it to its end")
            }
            Self::Empty(part) => write!(f, "it has no {part}"),
        }
    }
}

/// Checks that a record is whole, unedited, and of a finished run without a flaw. Returns all reasons against it.
pub fn verify(path: &Path) -> Result<Verified, Vec<Refusal>> {
    let unreadable = |error| vec![Refusal::Unreadable(error)];
    let (kind, text) = read_kind(path).map_err(unreadable)?;
    let Single(value) = parse(path, kind, &text).map_err(unreadable)?;
    match kind {
        Kind::Run => {
            let record: Box<Record> = parse(path, kind, &text).map_err(unreadable)?;
            let claims = Claims {
                digest: record.digest.as_deref(),
                flaw: record.flaw.as_ref(),
                interrupted: record.interrupted,
                parts: ("case", !record.cases.is_empty()),
            };
            claims.hold(&value)?;
            Ok(Verified::Run(record))
        }
        Kind::Picker => {
            let record: Box<PickerLoad> = parse(path, kind, &text).map_err(unreadable)?;
            let claims = Claims {
                digest: record.digest.as_deref(),
                flaw: record.flaw.as_ref(),
                interrupted: record.interrupted,
                parts: ("measurement", !record.rows.is_empty()),
            };
            claims.hold(&value)?;
            Ok(Verified::Picker(record))
        }
        other => Err(vec![Refusal::Kind(other)]),
    }
}

impl Claims<'_> {
    /// Checks them against the record. Returns all reasons against it.
    fn hold(&self, record: &Value) -> Result<(), Vec<Refusal>> {
        let mut refusals = Vec::new();
        match self.digest {
            None => refusals.push(Refusal::NoDigest),
            Some(digest) if digest != of_value(record) => refusals.push(Refusal::Edited),
            Some(_) => {}
        }
        refusals.extend(self.flaw.cloned().map(Refusal::Flaw));
        if self.interrupted {
            refusals.push(Refusal::Interrupted);
        }
        let (part, any) = self.parts;
        if !any {
            refusals.push(Refusal::Empty(part));
        }
        if refusals.is_empty() {
            Ok(())
        } else {
            Err(refusals)
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;

    use super::*;
    use crate::samples::{fail, picker_load, rate_search, record};
    use poolproof_model::verdict::{Level, Outcome};

    /// The text of a saved record, after a change before it was saved.
    fn saved(change: impl FnOnce(&mut Record)) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.json");
        let mut record = record(&[
            (Level::Must, Outcome::pass("fine")),
            (Level::Should, fail()),
        ]);
        record.split_tolerance = 0.1 + 0.2;
        change(&mut record);
        record.save(&path).unwrap();
        fs::read_to_string(&path).unwrap()
    }

    /// The reasons against a file with this text.
    fn reasons(text: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.json");
        fs::write(&path, text).unwrap();
        let refusals = verify(&path).err().unwrap_or_default();
        let reasons: Vec<String> = refusals.iter().map(ToString::to_string).collect();
        reasons.join("; ")
    }

    #[test]
    fn a_record_as_saved_is_accepted_in_any_layout() {
        let text = saved(|_| {});
        assert_eq!(reasons(&text), "");
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(reasons(&value.to_string()), "");
    }

    #[test]
    fn an_edited_record_is_refused() {
        let text = saved(|_| {});
        for (before, after) in [
            ("\"verdict\": \"fail\"", "\"verdict\": \"pass\""),
            ("\"seed\": 1", "\"seed\": 2"),
            ("0.30000000000000004", "0.3"),
            ("\"fine\"", "\"fine \""),
            ("\"seed\": 1", "\"seed\": 1, \"note\": \"more\""),
        ] {
            let edited = text.replacen(before, after, 1);
            assert_ne!(edited, text, "{before}");
            assert!(reasons(&edited).starts_with("edited: "), "{before}");
        }
        let mut shorter: Value = serde_json::from_str(&text).unwrap();
        shorter["cases"].as_array_mut().unwrap().pop();
        assert!(reasons(&shorter.to_string()).starts_with("edited: "));
    }

    #[test]
    fn a_key_that_comes_twice_is_refused_wherever_it_is() {
        let text = saved(|_| {});
        for (before, after) in [
            // No field of a record: a reader of JSON may take either.
            ("\"seed\": 1", "\"seed\": 1, \"note\": 1, \"note\": 1"),
            ("\"seed\": 1", "\"seed\": 2, \"seed\": 1"),
            (
                "\"verdict\": \"fail\"",
                "\"verdict\": \"pass\", \"verdict\": \"fail\"",
            ),
        ] {
            let edited = text.replacen(before, after, 1);
            assert_ne!(edited, text, "{before}");
            let why = reasons(&edited);
            assert!(
                why.contains("twice") || why.contains("duplicate field"),
                "{why}"
            );
        }
    }

    #[test]
    fn a_cut_an_old_a_flawed_and_an_interrupted_record_each_have_their_reason() {
        let text = saved(|_| {});
        assert!(reasons(&text[..text.len() / 2]).starts_with("cut or not a record: "));
        let mut old: Value = serde_json::from_str(&text).unwrap();
        old.as_object_mut().unwrap().remove(FIELD);
        assert!(reasons(&old.to_string()).starts_with("made before digests were kept"));
        let flawed = saved(|record| record.flaw = Some("split-80-20".to_owned()));
        assert!(reasons(&flawed).starts_with("made with the flaw split-80-20"));
        let interrupted = saved(|record| record.interrupted = true);
        assert!(reasons(&interrupted).starts_with("interrupted"));
        // Removing the mark is an edit.
        let cleaned = interrupted.replace("\"interrupted\": true", "\"interrupted\": false");
        assert!(reasons(&cleaned).starts_with("edited: "));
        let empty = saved(|record| record.cases.clear());
        assert_eq!(reasons(&empty), "it has no case");
    }

    #[test]
    fn a_record_of_a_picker_is_verified_and_one_of_a_search_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("picker.json");
        let mut record = picker_load();
        record.save(&path).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(reasons(&text), "");
        let faster = text.replacen("\"picks_per_s\": ", "\"picks_per_s\": 1", 1);
        assert!(faster != text && reasons(&faster).starts_with("edited: "));
        assert!(reasons(&text[..text.len() / 2]).starts_with("cut or not a record: "));
        (record.interrupted, record.flaw) = (true, Some("picks-first".to_owned()));
        record.rows.clear();
        record.save(&path).unwrap();
        let all = reasons(&fs::read_to_string(&path).unwrap());
        assert!(
            all.contains("the flaw picks-first") && all.contains("interrupted: "),
            "{all}"
        );
        assert!(all.ends_with("it has no measurement"), "{all}");
        let search = serde_json::to_string(&rate_search()).unwrap();
        assert!(reasons(&search).starts_with("it holds a search for the limit: only "));
    }
}
