//! JSON that is read for a few keys. Unknown keys, repeated keys and values of other types never fail; what is no JSON does.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// An object that is read key by key.
pub(super) trait Object<'de>: Default {
    /// Takes the value of a key. Of a key that comes twice the last value counts.
    fn take<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error>;
}

/// An object; any other value reads as an empty one.
#[derive(Default)]
pub(super) struct Lenient<T>(pub(super) T);

/// Reads a document; `None` if it is no JSON object.
pub(super) fn object<'de, T: Object<'de>>(document: &'de str) -> Option<T> {
    let is_object = document.trim_ascii_start().starts_with('{');
    let Lenient(object) = serde_json::from_str(document).ok().filter(|_| is_object)?;
    Some(object)
}

/// A list; any other value reads as `None`.
pub(super) struct Listed<T>(pub(super) Option<List<T>>);

/// The entries of a list, which has mostly one.
#[derive(Default)]
pub(super) struct List<T> {
    pub(super) first: Option<T>,
    pub(super) more: Vec<T>,
}

#[derive(serde::Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

/// The values that are of no use where one of another type was expected.
macro_rules! others {
    ($none:expr) => {
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("any JSON")
        }
        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
            Ok($none)
        }
        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
            Ok($none)
        }
        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
            Ok($none)
        }
        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
            Ok($none)
        }
        fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
            Ok($none)
        }
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok($none)
        }
    };
}

impl<'de, T: Object<'de>> Deserialize<'de> for Lenient<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);
        impl<'de, T: Object<'de>> Visitor<'de> for Fields<T> {
            type Value = T;
            others!(T::default());
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<T, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(T::default())
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
                let mut object = T::default();
                while let Some(Key(key)) = map.next_key()? {
                    object.take(&key, &mut map)?;
                }
                Ok(object)
            }
        }
        deserializer.deserialize_any(Fields(PhantomData)).map(Self)
    }
}

impl<'de, T: Object<'de>> Deserialize<'de> for Listed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<T>(PhantomData<T>);
        impl<'de, T: Object<'de>> Visitor<'de> for Entries<T> {
            type Value = Option<List<T>>;
            others!(None);
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let first = seq.next_element::<Lenient<T>>()?.map(|entry| entry.0);
                let mut more = Vec::new();
                while let Some(Lenient(entry)) = seq.next_element()? {
                    more.push(entry);
                }
                Ok(Some(List { first, more }))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(None)
            }
        }
        deserializer.deserialize_any(Entries(PhantomData)).map(Self)
    }
}

/// Whether a value is one that stands for none: null, false, 0, an empty string, list or object, or one of such values only.
pub(super) fn is_nothing(json: &str) -> bool {
    fn is_void(value: &Value) -> bool {
        match value {
            Value::Null | Value::Bool(false) => true,
            Value::Bool(true) => false,
            Value::Number(number) => number.as_f64() == Some(0.0),
            Value::String(text) => text.is_empty(),
            Value::Array(values) => values.iter().all(is_void),
            Value::Object(fields) => fields.values().all(is_void),
        }
    }
    // Finish reasons are strings: most values need no parser.
    if json.starts_with('"') {
        return json.trim_ascii_end() == "\"\"";
    }
    json == "null" || serde_json::from_str(json).is_ok_and(|value| is_void(&value))
}

/// The text of a value that is no plain string: the parts of a message, the details of reasoning. Empty if it has none.
pub(super) fn text_within(json: &str) -> String {
    /// Keys whose strings are no text.
    const LABELS: [&str; 7] = [
        "type",
        "id",
        "format",
        "index",
        "role",
        "expires_at",
        "signature",
    ];
    fn add(value: &Value, text: &mut String) {
        match value {
            Value::String(part) => text.push_str(part),
            Value::Array(parts) => parts.iter().for_each(|part| add(part, text)),
            Value::Object(fields) => {
                let texts = fields
                    .iter()
                    .filter(|(key, _)| !LABELS.contains(&key.as_str()));
                texts.for_each(|(_, value)| add(value, text));
            }
            _ => {}
        }
    }
    let mut text = String::new();
    if let Ok(value) = serde_json::from_str(json) {
        add(&value, &mut text);
    }
    text
}
