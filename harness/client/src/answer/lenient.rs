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

/// The object that is the value of a key; `None` if nothing of it was taken.
pub(super) fn filled<'de, T, A>(map: &mut A) -> Result<Option<T>, A::Error>
where
    T: Object<'de> + PartialEq,
    A: MapAccess<'de>,
{
    let Lenient(object) = map.next_value::<Lenient<T>>()?;
    Ok((object != T::default()).then_some(object))
}

/// A list; any other value reads as `None`.
pub(super) struct Listed<T>(pub(super) Option<List<T>>);

/// The most entries of a list that are read: 2,048 texts may be asked for (OpenAI API, embeddings). An entry of three bytes takes a hundred
/// times as much memory.
const LIST_MAX: usize = 16_384;
/// The longest JSON that is read into a tree, in bytes: a tree takes up to 16 times as much memory.
pub(super) const TREE_LIMIT_BYTES: usize = 1 << 20;

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
                while more.len() < LIST_MAX
                    && let Some(Lenient(entry)) = seq.next_element()?
                {
                    more.push(entry);
                }
                while seq.next_element::<IgnoredAny>()?.is_some() {}
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
    // Finish reasons are strings: most values need no parser.
    if json.starts_with('"') {
        return json.trim_ascii_end() == "\"\"";
    }
    json == "null" || serde_json::from_str(json).is_ok_and(|Void(is_void)| is_void)
}

/// Whether a value stands for none. It is read without being kept.
struct Void(bool);

impl<'de> Deserialize<'de> for Void {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Value;
        impl<'de> Visitor<'de> for Value {
            type Value = bool;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any JSON")
            }
            fn visit_bool<E>(self, value: bool) -> Result<bool, E> {
                Ok(!value)
            }
            fn visit_i64<E>(self, number: i64) -> Result<bool, E> {
                Ok(number == 0)
            }
            fn visit_u64<E>(self, number: u64) -> Result<bool, E> {
                Ok(number == 0)
            }
            fn visit_f64<E>(self, number: f64) -> Result<bool, E> {
                Ok(number == 0.0)
            }
            fn visit_str<E>(self, text: &str) -> Result<bool, E> {
                Ok(text.is_empty())
            }
            fn visit_unit<E>(self) -> Result<bool, E> {
                Ok(true)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<bool, A::Error> {
                let mut all = true;
                while let Some(Void(is_void)) = seq.next_element()? {
                    all &= is_void;
                }
                Ok(all)
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
                let mut all = true;
                while let Some((IgnoredAny, Void(is_void))) = map.next_entry()? {
                    all &= is_void;
                }
                Ok(all)
            }
        }
        deserializer.deserialize_any(Value).map(Self)
    }
}

/// The text of a value that is no plain string: the parts of a message, the details of reasoning. Empty if it has none. One that is too
/// long for a tree counts as text as it is.
pub(super) fn text_within(json: &str) -> String {
    if json.len() > TREE_LIMIT_BYTES {
        return json.to_owned();
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Any;

    impl<'de> Object<'de> for Any {
        fn take<A: MapAccess<'de>>(&mut self, _: &str, map: &mut A) -> Result<(), A::Error> {
            map.next_value::<IgnoredAny>().map(|_| ())
        }
    }

    #[test]
    fn a_list_of_millions_is_read_to_its_end_and_kept_in_part() {
        let entries = |end: &str| format!("[{}{{}}{end}", "{},".repeat(1 << 20));
        let read = |text: &str| serde_json::from_str::<Listed<Any>>(text).map(|list| list.0);
        let list = read(&entries("]")).ok().flatten();
        assert_eq!(list.map(|list| list.more.len()), Some(LIST_MAX));
        assert!(read(&entries("")).is_err());
    }

    #[test]
    fn only_values_that_stand_for_none_are_nothing() {
        for nothing in [
            "null",
            "false",
            "0",
            "-0",
            "0.0",
            "\"\"",
            "[]",
            "[{\"a\":[0]}]",
            "{\"a\":null}",
        ] {
            assert!(is_nothing(nothing), "{nothing}");
        }
        for something in [
            "true",
            "1",
            "0.1",
            "\"a\"",
            "[0,1]",
            "{\"a\":[\"\",\"b\"]}",
            "",
            "[",
            "{\"a\":0",
        ] {
            assert!(!is_nothing(something), "{something}");
        }
    }
}
