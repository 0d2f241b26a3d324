//! Streams split and damaged anywhere.

use super::*;
use poolproof_property::{config, pieces};
use proptest::collection::vec;
use proptest::prelude::*;

/// A judgement without its times.
fn judged(stream: &[u8], sizes: &[usize]) -> Result<Answered, Fault> {
    let at = Instant::now();
    let mut reading = Stream::new(Asked {
        text: true,
        ..STREAM
    });
    for piece in pieces(stream, sizes) {
        reading.feed(piece, at, |_| ())?;
    }
    reading.end().map(|answered| Answered {
        first_token_at: None,
        first_answer_at: None,
        last_token_at: None,
        ended_at: None,
        ..answered
    })
}

/// A good stream of three tokens.
fn good(texts: &[String], fields: usize) -> String {
    let mut stream = String::new();
    for text in texts {
        let text = serde_json::Value::from(text.as_str());
        stream += &match fields {
            0 => format!(
                "data: {{\"id\":\"c-1\",\"choices\":[{{\"index\":0,\"text\":{text}}}]}}\n\n"
            ),
            1 => format!(
                ": x\n\nevent: message\ndata: {{\"id\":\"c-1\",\"choices\":[{{\"delta\":{{\"content\":{text}}}}}]}}\n\n"
            ),
            _ => format!(
                "id: 4\ndata: {{\"choices\":[{{\"delta\":\ndata: {{\"reasoning\":\"\",\"content\":{text}}}}}]}}\r\n\r\n"
            ),
        };
    }
    stream + &finish("\"length\"") + &usage("3") + DONE
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_stream_is_judged_alike_at_every_split(
        texts in vec("[a-z]{1,8}|\\PC{1,4}|[\"\\\\\n]{1,3}", 3),
        fields in 0..3_usize,
        sizes in vec(1_usize..60, 1..6),
    ) {
        let stream = good(&texts, fields);
        let whole = judged(stream.as_bytes(), &[usize::MAX]);
        prop_assert_eq!(&whole, &judged(stream.as_bytes(), &sizes));
        let Ok(answered) = whole else {
            return Err(TestCaseError::fail(format!("{whole:?}")));
        };
        prop_assert_eq!((answered.chunks, answered.usage, answered.remarks), (3, Some((7, 3)), Remarks::default()));
        prop_assert_eq!(answered.text(), texts.concat());
    }

    #[test]
    fn a_byte_that_breaks_a_stream_is_seen_or_does_no_harm(
        texts in vec("[a-z]{1,8}", 3),
        fields in 0..3_usize,
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        sizes in vec(1_usize..60, 1..6),
    ) {
        let mut stream = good(&texts, fields).into_bytes();
        let at = at.index(stream.len());
        stream[at] = byte;
        let judged = judged(&stream, &sizes);
        if let Ok(answered) = judged {
            // What remains is a change within a text, or of what nobody reads; a token that was lost shows beside the usage.
            let is_seen = !answered.remarks.is_empty() || answered.usage != Some((7, 3)) || answered.chunks != 3;
            let same = answered.text().chars().count() >= texts.concat().len() - 1;
            prop_assert!(is_seen || (same && answered.finish.is_some()), "{:?}", answered);
        }
    }
}
