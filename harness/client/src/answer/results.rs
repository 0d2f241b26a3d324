//! Answers that no model writes: a vector for each text, or the scores of documents.
//!
//! Source: OpenAI API, embeddings (`encoding_format` base64: 32-bit floats, little-endian); Jina AI and Cohere, rerank, and vLLM's
//! `RerankResponse` (results in the order of their `relevance_score`, `top_n` of them).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::chunk::{self, number, raw, some};
use super::fault::{Fault, Kind};
use super::lenient::{self, Lenient, List, Listed, Object};
use super::{Answered, Asked, Remark};
use poolproof_model::api::Api;

/// A document with results.
#[derive(Default)]
struct Document<'a> {
    error: Option<&'a str>,
    results: Option<List<Row>>,
    usage: Option<Counts>,
}

impl<'de> Object<'de> for Document<'de> {
    fn take<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        match key {
            "error" | "errors" => self.error = some(raw(map)?),
            "data" | "results" => {
                let list = map.next_value::<Listed<Row>>()?.0;
                self.results = list.or(self.results.take());
            }
            "usage" => self.usage = Some(map.next_value::<Lenient<Counts>>()?.0),
            _ => {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// Token counts of the texts.
#[derive(Default)]
struct Counts {
    prompt: Option<(u64, bool)>,
    total: Option<(u64, bool)>,
}

impl<'de> Object<'de> for Counts {
    fn take<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        let found = number(raw(map)?);
        match key {
            "prompt_tokens" | "input_tokens" => self.prompt = found,
            "total_tokens" => self.total = found,
            _ => {}
        }
        Ok(())
    }
}

/// One result.
#[derive(Default)]
struct Row {
    index: Option<u64>,
    vector: Vector,
    score: Option<f64>,
}

impl<'de> Object<'de> for Row {
    fn take<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        match key {
            "index" => self.index = raw(map)?.parse().ok(),
            "embedding" => self.vector = map.next_value()?,
            "relevance_score" | "score" => self.score = finite(raw(map)?),
            _ => {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// A number as JSON has it.
fn finite(json: &str) -> Option<f64> {
    json.parse().ok().filter(|number: &f64| number.is_finite())
}

/// A vector, of which only the length is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Vector {
    #[default]
    None,
    /// Its dimensions.
    Of(usize),
    /// The place of an element that is no finite number.
    Unsound(usize),
}

impl Vector {
    fn of(numbers: impl Iterator<Item = bool>) -> Self {
        let mut length = 0;
        for is_sound in numbers {
            if !is_sound {
                return Self::Unsound(length);
            }
            length += 1;
        }
        match length {
            0 => Self::None,
            length => Self::Of(length),
        }
    }
}

impl<'de> Deserialize<'de> for Vector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Elements;
        impl<'de> Visitor<'de> for Elements {
            type Value = Vector;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any JSON")
            }
            fn visit_bool<E>(self, _: bool) -> Result<Vector, E> {
                Ok(Vector::None)
            }
            fn visit_i64<E>(self, _: i64) -> Result<Vector, E> {
                Ok(Vector::None)
            }
            fn visit_u64<E>(self, _: u64) -> Result<Vector, E> {
                Ok(Vector::None)
            }
            fn visit_f64<E>(self, _: f64) -> Result<Vector, E> {
                Ok(Vector::None)
            }
            fn visit_unit<E>(self) -> Result<Vector, E> {
                Ok(Vector::None)
            }
            fn visit_str<E>(self, text: &str) -> Result<Vector, E> {
                let bytes = STANDARD.decode(text).unwrap_or_default();
                let whole = bytes.len().is_multiple_of(4);
                let floats = bytes.chunks_exact(4).map(|four| {
                    let float = f32::from_le_bytes([four[0], four[1], four[2], four[3]]);
                    float.is_finite()
                });
                Ok(if whole {
                    Vector::of(floats)
                } else {
                    Vector::None
                })
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vector, A::Error> {
                let mut elements = Vec::new();
                while let Some(element) = seq.next_element::<&RawValue>()? {
                    elements.push(finite(element.get()).is_some());
                }
                Ok(Vector::of(elements.into_iter()))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vector, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Vector::None)
            }
        }
        deserializer.deserialize_any(Elements)
    }
}

/// Judges the body of an answer; `None` if it is no JSON object.
pub(super) fn judged(body: &[u8], asked: Asked) -> Option<Result<Answered, Fault>> {
    let text = std::str::from_utf8(body).ok()?;
    Some(judge(&lenient::object(text)?, body, asked))
}

fn judge(document: &Document<'_>, body: &[u8], asked: Asked) -> Result<Answered, Fault> {
    let other = || chunk::read(body).and_then(|said| said.error);
    let error = document.error.or_else(|| match &document.results {
        Some(_) => None,
        None => other(),
    });
    if let Some(error) = error {
        return Err(Fault::with_bytes(Kind::ErrorBody, error.as_bytes()));
    }
    let Some(list) = &document.results else {
        return Err(Fault::with_bytes(Kind::NoAnswer, body));
    };
    let rows: Vec<&Row> = list.first.iter().chain(&list.more).collect();
    let incomplete = |detail: String| Err(Fault::new(Kind::Incomplete, detail));
    let inputs = asked.inputs as usize;
    let wanted = match asked.top {
        0 => inputs,
        top => inputs.min(top as usize),
    };
    if inputs > 0 && rows.len() != wanted {
        return incomplete(format!(
            "{} results, and {wanted} were asked for",
            rows.len()
        ));
    }
    if rows.is_empty() {
        return Err(Fault::with_bytes(Kind::NoAnswer, body));
    }
    let limit = if inputs > 0 { inputs } else { rows.len() };
    if let Some(detail) = odd_index(&rows, limit, asked.api) {
        return incomplete(detail);
    }
    let mut answered = Answered::default();
    if asked.api == Api::Rerank {
        if let Some(place) = rows.iter().position(|row| row.score.is_none()) {
            return incomplete(format!(
                "result {place} has no number as its relevance_score"
            ));
        }
        let is_sorted = rows.is_sorted_by(|a, b| a.score >= b.score);
        if !is_sorted {
            answered.remarks.add(Remark::Unsorted);
        }
    } else if let Some(detail) = odd_vector(&rows, asked.dimensions as usize) {
        return incomplete(detail);
    }
    let counts = document.usage.as_ref();
    match counts.and_then(|counts| counts.prompt.or(counts.total)) {
        Some((0, _)) => answered.remarks.add(Remark::UsageZero),
        Some((tokens, is_whole)) => {
            answered.usage = Some((tokens, 0));
            if !is_whole {
                answered.remarks.add(Remark::UsageOdd);
            }
        }
        None => answered.remarks.add(Remark::NoUsage),
    }
    Ok(answered)
}

/// What is wrong with the indexes of results, if anything is. Vectors without indexes are in the order of their texts.
fn odd_index(rows: &[&Row], limit: usize, api: Api) -> Option<String> {
    if api == Api::Embeddings && rows.iter().all(|row| row.index.is_none()) {
        return None;
    }
    let mut seen = vec![false; limit];
    for (place, row) in rows.iter().enumerate() {
        let Some(index) = row.index else {
            return Some(format!("result {place} has no index"));
        };
        match seen.get_mut(index as usize) {
            None => return Some(format!("index {index}, and there are {limit} texts")),
            Some(true) => return Some(format!("index {index} twice")),
            Some(seen) => *seen = true,
        }
    }
    None
}

/// What is wrong with vectors, if anything is.
fn odd_vector(rows: &[&Row], dimensions: usize) -> Option<String> {
    let mut length = dimensions;
    for (place, row) in rows.iter().enumerate() {
        match row.vector {
            Vector::None => return Some(format!("result {place} has no vector")),
            Vector::Unsound(element) => {
                return Some(format!(
                    "element {element} of vector {place} is no finite number"
                ));
            }
            Vector::Of(own) if length == 0 => length = own,
            Vector::Of(own) if own != length => {
                return Some(format!(
                    "vector {place} has {own} dimensions, and {length} were asked for or came before"
                ));
            }
            Vector::Of(_) => {}
        }
    }
    None
}
