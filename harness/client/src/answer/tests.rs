//! Streams and whole answers, good and bad.

#![allow(clippy::unwrap_used)]

use super::*;

mod named;
mod properties;
mod whole;

const STREAM: Asked = Asked {
    api: Api::Chat,
    stream: true,
    text: false,
    tokens: Some(3),
    strict: false,
};

fn token(text: &str) -> String {
    format!(
        "data: {{\"id\":\"c-1\",\"usage\":null,\"choices\":[{{\"index\":0,\"finish_reason\":null,\"text\":\"{text}\"}}]}}\n\n"
    )
}

fn finish(reason: &str) -> String {
    format!(
        "data: {{\"id\":\"c-1\",\"choices\":[{{\"index\":0,\"finish_reason\":{reason},\"text\":\"\"}}]}}\n\n"
    )
}

fn usage(tokens: &str) -> String {
    format!(
        "data: {{\"id\":\"c-1\",\"choices\":[],\"usage\":{{\"prompt_tokens\":7,\"completion_tokens\":{tokens}}}}}\n\n"
    )
}

const DONE: &str = "data: [DONE]\n\n";

/// Reads a stream whose parts arrive 10 ms apart: the judgement, and the gaps in milliseconds.
fn read(asked: Asked, parts: &[&str]) -> (Result<Answered, Fault>, Vec<u128>) {
    let start = Instant::now();
    let mut stream = Stream::new(asked);
    let mut gaps = Vec::new();
    for (number, part) in parts.iter().enumerate() {
        let at = start + Duration::from_millis(10 * number as u64);
        if let Err(fault) = stream.feed(part.as_bytes(), at, |gap| gaps.push(gap.as_millis())) {
            return (Err(fault), gaps);
        }
    }
    (stream.end(), gaps)
}

/// The names of the remarks on a good stream, or the kind of its fault; with deviations as faults, whether it has one.
fn verdict(stream: &str) -> Result<Vec<&'static str>, Kind> {
    let judged = read(STREAM, &[stream]).0;
    let strictly = read(
        Asked {
            strict: true,
            ..STREAM
        },
        &[stream],
    );
    match judged {
        Ok(answered) => {
            let deviates = answered.remarks.iter().any(Remark::is_deviation);
            assert_eq!(strictly.0.is_err(), deviates, "{stream}");
            Ok(answered.remarks.iter().map(Remark::name).collect())
        }
        Err(fault) => {
            assert_eq!(strictly.0.unwrap_err(), fault);
            assert!(fault.detail.len() < 900, "{fault}");
            Err(fault.kind)
        }
    }
}

fn abc() -> String {
    token("a ") + &token("b ") + &token("c ")
}

/// A good stream with this put in before its finish reason.
fn with(part: &str) -> String {
    abc() + part + &finish("\"length\"") + &usage("3") + DONE
}

#[test]
fn every_token_is_timed_and_those_that_come_together_are_counted() {
    let both = token("b ") + &token("c\\\"");
    let parts = [
        &token("a "),
        &both,
        &finish("\"length\""),
        &usage("3"),
        DONE,
    ];
    let (answered, gaps) = read(STREAM, &parts);
    let answered = answered.unwrap();
    assert_eq!(gaps, [10, 0]);
    assert_eq!((answered.chunks, answered.together), (3, 1));
    assert_eq!(answered.usage, Some((7, 3)));
    assert!(answered.remarks.is_empty() && !answered.reasoned);
    let since = |at: Option<Instant>| (at.unwrap() - answered.first_token_at.unwrap()).as_millis();
    assert_eq!(since(answered.last_token_at), 10);
    // Neither the usage nor [DONE] belongs to the answer.
    assert_eq!(since(answered.ended_at), 20);
    assert_eq!(answered.finish.as_deref(), Some("length"));
}

#[test]
fn the_first_token_of_the_answer_is_told_from_that_of_the_reasoning() {
    let thought = "data: {\"choices\":[{\"index\":0,\"delta\":{\"reasoning\":\"hm\"}}]}\n\n";
    let parts = [thought, thought, &token("a "), &finish("\"stop\""), DONE];
    let answered = read(STREAM, &parts).0.unwrap();
    let first = answered.first_token_at.unwrap();
    assert_eq!((answered.first_answer_at.unwrap() - first).as_millis(), 20);
    assert!(answered.reasoned);
    let only = [thought, &finish("\"length\""), DONE];
    let answered = read(STREAM, &only).0.unwrap();
    assert!(answered.reasoned && answered.first_answer_at.is_none());
}

#[test]
fn what_breaks_an_answer_is_a_fault_of_its_kind() {
    let a = token("a ");
    for (stream, wanted) in [
        (abc(), Kind::NoDone),
        (token("a ") + &usage("2") + DONE, Kind::NoFinish),
        (a.clone() + DONE, Kind::NoFinish),
        (
            a.clone() + "data: {\"error\":{\"message\":\"engine died\"}}\n\n" + DONE,
            Kind::ErrorEvent,
        ),
        (
            a.clone() + "event: error\ndata: {\"message\":\"boom\"}\n\n" + DONE,
            Kind::ErrorEvent,
        ),
        (
            a.clone() + "event: error\ndata: boom\n\n" + DONE,
            Kind::ErrorEvent,
        ),
        (a.clone() + "event: Error\n\n" + DONE, Kind::ErrorEvent),
        (
            a.clone() + "error: {\"code\":400}\n\n" + DONE,
            Kind::ErrorEvent,
        ),
        (
            a.clone() + "event: response.failed\ndata: boom\n\n" + DONE,
            Kind::ErrorEvent,
        ),
        (
            a.clone() + "data: {\"errors\":[{\"message\":\"boom\"}]}\n\n" + DONE,
            Kind::ErrorEvent,
        ),
        (
            a.clone() + "note: x\n{\"error\":{\"code\":400}}\nend\n",
            Kind::ErrorEvent,
        ),
        ("error: boom".to_owned(), Kind::ErrorEvent),
        (
            with("event: error\ndata: {\"message\":\"boom\"}\n\n"),
            Kind::ErrorEvent,
        ),
        (
            with(DONE) + "data: {\"error\":\"late\"}\n\n",
            Kind::ErrorEvent,
        ),
        ("{\"error\":{\"code\":400}}".to_owned(), Kind::ErrorEvent),
        (
            "{\n \"error\": {\n \"code\": 400\n }\n}\n".to_owned(),
            Kind::ErrorEvent,
        ),
        (
            a.clone() + "data: {\"error\":{\"code\":400}}",
            Kind::ErrorEvent,
        ),
        (a.clone() + &finish("\"abort\"") + DONE, Kind::Aborted),
        (a.clone() + &finish("\"Error\"") + DONE, Kind::Aborted),
        (
            a.clone() + &finish("\"insufficient_system_resource\"") + DONE,
            Kind::Aborted,
        ),
        (
            a.clone() + &finish("{\"type\":\"abort\",\"message\":\"gone\"}") + DONE,
            Kind::Aborted,
        ),
        (
            token("a ")
                + &token("b ")
                + &abc()[token("a ").len()..]
                + &finish("\"length\"")
                + &usage("3")
                + DONE,
            Kind::Repeated,
        ),
        (
            abc() + &abc() + &finish("\"length\"") + &usage("3") + DONE,
            Kind::Repeated,
        ),
        (
            abc() + &finish("\"length\"") + &token("d ") + &usage("4") + DONE,
            Kind::OutOfOrder,
        ),
        (with("") + &a, Kind::OutOfOrder),
        (a.clone() + "data: <html>\n\n" + DONE, Kind::NotJson),
        (
            a.clone() + "data: : OPENROUTER PROCESSING\n\n" + DONE,
            Kind::NotJson,
        ),
        (a.clone() + "data: [done]\n\n", Kind::NotJson),
        (a.clone() + "data: \"x\"\n\n" + DONE, Kind::NotJson),
        (
            "data: {\"id\":\"c-1\"}\n\n".to_owned() + DONE,
            Kind::NoAnswer,
        ),
        (String::new(), Kind::NoAnswer),
        ("x".repeat(3 << 19), Kind::TooLong),
        (abc() + &finish("\"length\"") + "[DONE]\n\n", Kind::NoDone),
    ] {
        assert_eq!(
            verdict(&stream),
            Err(wanted),
            "{}",
            &stream[..stream.len().min(600)]
        );
    }
    // An abort behind a good finish of another choice is one all the same.
    let other = finish("\"abort\"").replace("\"index\":0", "\"index\":1");
    assert_eq!(
        verdict(&(abc() + &finish("\"length\"") + &other + DONE)),
        Err(Kind::Aborted)
    );
}

#[test]
fn the_text_of_the_server_is_in_the_detail() {
    let detail = |stream: &str| read(STREAM, &[stream]).0.unwrap_err().detail;
    assert!(detail("{\"error\":{\"message\":\"too long\"}}").contains("too long"));
    assert!(detail("error: {\"message\":\"too long\"}\n\n").contains("too long"));
    assert!(detail(&(token("a") + "data: {\"message\":\"gone\"}\n\n" + DONE)).contains("gone"));
    assert!(detail(&(abc() + &finish("\"length\"") + "[DONE]")).contains("without `data:`"));
}

#[test]
fn what_the_sdks_accept_is_good_and_gets_a_remark() {
    let end = || finish("\"length\"") + &usage("3") + DONE;
    let chunk = |rest: &str| format!("data: {{\"id\":\"c-1\",{rest}}}\n\n");
    for (stream, remarks) in [
        (with(""), &[][..]),
        (with(": ping\n\n:\n\nretry: 3\n\n"), &[]),
        (
            with("event: ping\ndata: {\"type\":\"ping\"}\n\n"),
            &["named-event"],
        ),
        (with("event: ping\ndata: text\n\n"), &["named-event"]),
        (with("data:\n\n"), &["empty-data"]),
        (with("data: null\n\n"), &["empty-data"]),
        (with("data: \"\"\n\n"), &["empty-data"]),
        (with("data: {\"error\":false}\n\n"), &["no-choices"]),
        (with("error: null\n\n"), &[]),
        (with("x: y\n\n"), &["stray-line"]),
        (with(&chunk("\"choices\":null")), &["no-choices"]),
        (with(&chunk("\"usage\":{},\"choices\":[]")), &[]),
        (
            with(DONE),
            &["done-twice", "after-done", "no-finish", "no-usage"],
        ),
        (with("") + DONE, &["done-twice"]),
        (with("") + "data: {}\n\n", &["after-done"]),
        (abc() + &finish("\"length\"") + &usage("3"), &["no-done"]),
        (
            abc() + &finish("\"length\"") + &usage("3") + "data: [DONE]\n",
            &["done-unterminated"],
        ),
        (
            abc() + &finish("\"length\"") + &usage("3") + "data: [DONE]",
            &["done-unterminated"],
        ),
        (
            abc() + &finish("\"length\"") + &usage("3") + "data:  [DONE] \n\n",
            &["done-variant"],
        ),
        (abc() + &usage("3") + DONE, &["no-finish"]),
        (abc() + DONE, &["no-finish", "no-usage"]),
        (with(&finish("\"\"")), &["finish-empty"]),
        (with(&finish("\"length\"")), &["finish-twice"]),
        (
            abc() + &finish("\"eos\"") + &usage("3") + DONE,
            &["finish-unknown"],
        ),
        (
            token("a ") + &finish("\"content_filter\"") + &usage("1") + DONE,
            &["content-filter", "shorter"],
        ),
        (abc() + &finish("\"length\"") + DONE, &["no-usage"]),
        (
            abc() + &finish("\"length\"") + &usage("0") + DONE,
            &["usage-zero"],
        ),
        (
            abc() + &finish("\"length\"") + &usage("null") + DONE,
            &["usage-odd", "no-usage"],
        ),
        (
            abc() + &finish("\"length\"") + &usage("3.0") + DONE,
            &["usage-odd"],
        ),
        (
            abc() + &finish("\"length\"") + &usage("2") + DONE,
            &["usage-less", "shorter"],
        ),
        (
            abc() + &usage("2") + &finish("\"length\"") + &usage("0") + DONE,
            &["usage-less", "shorter"],
        ),
        (finish("\"length\"") + &usage("3") + DONE, &["no-text"]),
        (
            finish("\"stop\"") + &usage("0") + DONE,
            &["no-text", "shorter"],
        ),
        (
            token("a ") + &finish("\"stop\"") + &usage("1") + DONE,
            &["shorter"],
        ),
        (abc().replacen("c-1", "c-2", 1) + &end(), &["ids-differ"]),
        (abc().replacen("c-1", "", 1) + &end(), &[]),
    ] {
        assert_eq!(verdict(&stream), Ok(remarks.to_vec()), "{stream}");
    }
}

#[test]
fn each_choice_has_its_own_end() {
    let of = |index: u8, text: &str| text.replace("\"index\":0", &format!("\"index\":{index}"));
    let stream = token("a ") + &of(1, &token("b ")) + &of(1, &finish("\"stop\"")) + &token("c ");
    let whole = stream.clone() + &finish("\"length\"") + &usage("3") + DONE;
    assert_eq!(verdict(&whole), Ok(vec![]));
    let short = stream + &usage("2") + DONE;
    assert_eq!(verdict(&short), Err(Kind::NoFinish));
}

#[test]
fn the_text_is_kept_where_it_is_asked_for_and_up_to_a_limit() {
    let stream = token("a ")
        + &token("b\\n")
        + &token("c\\ud83d")
        + &token("\\ude00 d")
        + &finish("\"stop\"")
        + DONE;
    let kept = Asked {
        text: true,
        ..STREAM
    };
    let answered = read(kept, &[&stream]).0.unwrap();
    assert_eq!(answered.text, b"a b\\nc\\ud83d\\ude00 d");
    assert_eq!(answered.text(), "a b\nc\u{1f600} d");
    assert_eq!(read(STREAM, &[&stream]).0.unwrap().text, b"");
    let long = token(&"x".repeat(1 << 16)).repeat(20);
    assert_eq!(read(kept, &[&long]).0.unwrap_err().kind, Kind::TooLong);
    assert_eq!(read(STREAM, &[&long]).0.unwrap_err().kind, Kind::NoDone);
}
