//! Vectors and rankings.

use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

fn judged(api: Api, (top, dimensions): (u32, u32), body: &Value) -> Result<Answered, Fault> {
    let asked = Asked {
        api,
        inputs: 3,
        top,
        dimensions,
        ..Asked::default()
    };
    document(
        body.to_string().as_bytes(),
        Some(b"application/json"),
        asked,
    )
}

fn verdict(api: Api, limits: (u32, u32), body: &Value) -> Result<Vec<&'static str>, Kind> {
    match judged(api, limits, body) {
        Ok(answered) => Ok(answered.remarks.iter().map(Remark::name).collect()),
        Err(fault) => Err(fault.kind),
    }
}

#[test]
fn vectors_are_one_for_each_text_and_of_one_length() {
    let base64 = |floats: &[f32]| {
        let bytes: Vec<u8> = floats.iter().flat_map(|it| it.to_le_bytes()).collect();
        Value::from(STANDARD.encode(bytes))
    };
    let of = |vectors: Vec<(Value, Value)>| {
        let data = vectors
            .into_iter()
            .map(|(index, vector)| json!({"index": index, "embedding": vector}));
        json!({"data": data.collect::<Vec<_>>(), "usage": {"prompt_tokens": 9, "total_tokens": 9}})
    };
    let (a, b) = (json!([0.5, -1, 2e-7]), json!([1, 2, 3]));
    let three = |third: Value| {
        of(vec![
            (0.into(), a.clone()),
            (1.into(), b.clone()),
            (2.into(), third),
        ])
    };
    let e = Api::Embeddings;
    let answered = judged(e, (0, 3), &three(b.clone())).unwrap();
    assert_eq!(
        (answered.usage, answered.output_tokens()),
        (Some((9, 0)), 0)
    );
    assert!(answered.remarks.is_empty());
    assert_eq!(verdict(e, (0, 4), &three(b.clone())), Err(Kind::Incomplete));
    for (third, wanted) in [
        (base64(&[1.0, 2.0, 3.0]), Ok(vec![])),
        (base64(&[1.0, f32::NAN, 3.0]), Err(Kind::Incomplete)),
        (base64(&[1.0, 2.0]), Err(Kind::Incomplete)),
        ("no base64".into(), Err(Kind::Incomplete)),
        (json!([1, 2]), Err(Kind::Incomplete)),
        (json!([1, 2, 3, 4]), Err(Kind::Incomplete)),
        (json!([1, null, 3]), Err(Kind::Incomplete)),
        (json!([1, "NaN", 3]), Err(Kind::Incomplete)),
        (json!([]), Err(Kind::Incomplete)),
        (Value::Null, Err(Kind::Incomplete)),
        (json!({"x": 1}), Err(Kind::Incomplete)),
    ] {
        assert_eq!(verdict(e, (0, 0), &three(third.clone())), wanted, "{third}");
    }
    let indexed = |indexes: [Value; 3]| of(indexes.map(|index| (index, a.clone())).to_vec());
    for (indexes, wanted) in [
        ([2.into(), 0.into(), 1.into()], Ok(vec![])),
        ([Value::Null, Value::Null, Value::Null], Ok(vec![])),
        ([0.into(), 1.into(), 1.into()], Err(Kind::Incomplete)),
        ([0.into(), 1.into(), 3.into()], Err(Kind::Incomplete)),
        ([0.into(), 1.into(), Value::Null], Err(Kind::Incomplete)),
    ] {
        assert_eq!(
            verdict(e, (0, 0), &indexed(indexes.clone())),
            wanted,
            "{indexes:?}"
        );
    }
    let mut short = three(b.clone());
    short["data"].as_array_mut().unwrap().pop();
    let mut long = three(b.clone());
    long["data"]
        .as_array_mut()
        .unwrap()
        .push(json!({"index": 3, "embedding": b}));
    let mut uncounted = three(b.clone());
    uncounted["usage"] = Value::Null;
    for (body, wanted) in [
        (short, Err(Kind::Incomplete)),
        (long, Err(Kind::Incomplete)),
        (uncounted, Ok(vec!["no-usage"])),
        (json!({"data": []}), Err(Kind::Incomplete)),
        (json!({"x": 1}), Err(Kind::NoAnswer)),
        (json!({"error": {"message": "boom"}}), Err(Kind::ErrorBody)),
        (
            json!({"object": "error", "message": "boom"}),
            Err(Kind::ErrorBody),
        ),
        (json!([1]), Err(Kind::NotJson)),
    ] {
        assert_eq!(verdict(e, (0, 0), &body), wanted, "{body}");
    }
}

#[test]
fn a_ranking_has_the_documents_that_were_asked_for_and_a_score_of_each() {
    let of = |rows: &[(u64, Value)]| {
        let rows = rows.iter().map(|(index, score)| json!({"index": index, "relevance_score": score, "document": {"text": "x"}}));
        json!({"results": rows.collect::<Vec<_>>(), "usage": {"total_tokens": 9}})
    };
    let row = |index: u64, score: f64| (index, Value::from(score));
    for (top, rows, wanted) in [
        (0, vec![row(2, 0.9), row(0, 0.9), row(1, -1.0)], Ok(vec![])),
        (
            0,
            vec![row(0, 0.1), row(1, 0.9), row(2, 0.5)],
            Ok(vec!["unsorted"]),
        ),
        (2, vec![row(2, 0.9), row(0, 0.5)], Ok(vec![])),
        (9, vec![row(2, 0.9), row(0, 0.5), row(1, 0.1)], Ok(vec![])),
        (
            2,
            vec![row(2, 0.9), row(0, 0.5), row(1, 0.1)],
            Err(Kind::Incomplete),
        ),
        (0, vec![row(2, 0.9), row(0, 0.5)], Err(Kind::Incomplete)),
        (
            0,
            vec![row(2, 0.9), row(2, 0.5), row(1, 0.1)],
            Err(Kind::Incomplete),
        ),
        (
            0,
            vec![row(3, 0.9), row(2, 0.5), row(1, 0.1)],
            Err(Kind::Incomplete),
        ),
        (
            0,
            vec![row(0, 0.9), row(2, 0.5), (1, Value::Null)],
            Err(Kind::Incomplete),
        ),
    ] {
        assert_eq!(
            verdict(Api::Rerank, (top, 0), &of(&rows)),
            wanted,
            "{top} {rows:?}"
        );
    }
    assert_eq!(
        judged(Api::Rerank, (1, 0), &of(&[row(2, 1.0)]))
            .unwrap()
            .usage,
        Some((9, 0))
    );
    let strictly = Asked {
        api: Api::Rerank,
        strict: true,
        ..Asked::default()
    };
    let unsorted = of(&[row(0, 0.1), row(1, 0.9)]).to_string();
    let fault = document(unsorted.as_bytes(), None, strictly).unwrap_err();
    assert_eq!(fault.kind, Kind::Deviates);
}
