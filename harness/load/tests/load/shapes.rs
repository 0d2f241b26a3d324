//! Answers in the shapes of real servers, over both versions of HTTP: each has its verdict, its remarks and its times.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use poolproof_fixtures::stub::{After, FEW, LATE_MS, Shape, Write};
use poolproof_load::engine::Measured;
use poolproof_model::remark::Remark;
use poolproof_model::workload::Series;
use tokio_util::sync::CancellationToken;

use super::server::Server;
use super::{all, send};

const TOKENS: usize = 10;
const TTFT_MS: u64 = 60;
const ITL_MS: u64 = 10;
/// Requests to each shape.
const REQUESTS: u64 = 4;
/// Shapes that are tried at a time.
const AT_ONCE: usize = 6;

/// A server that gives every answer in a shape.
async fn serve(shape: &'static Shape) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let answer =
                hyper::service::service_fn(move |request: http::Request<Incoming>| async move {
                    request.into_body().collect().await?;
                    let mut response = http::Response::builder();
                    if !shape.content_type.is_empty() {
                        response = response.header("content-type", shape.content_type);
                    }
                    let writes = futures_util::stream::unfold(
                        shape.writes(TOKENS).into_iter().enumerate(),
                        next,
                    );
                    Ok::<_, hyper::Error>(response.body(StreamBody::new(Box::pin(writes))).unwrap())
                });
            tokio::spawn(async move {
                let mut start = [0; 3];
                // Connections are opened before the first request leaves. HTTP/2 begins with PRI (RFC 9113, section 3.4).
                while stream
                    .peek(&mut start)
                    .await
                    .is_ok_and(|n| n > 0 && n < start.len())
                {
                    tokio::task::yield_now().await;
                }
                let io = TokioIo::new(stream);
                if &start == b"PRI" {
                    let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                    let _ = builder.serve_connection(io, answer).await;
                } else {
                    let builder = hyper::server::conn::http1::Builder::new();
                    let _ = builder.serve_connection(io, answer).await;
                }
            });
        }
    });
    address
}

type Writes = std::iter::Enumerate<std::vec::IntoIter<Write>>;

/// The next write, when it is due.
async fn next(mut writes: Writes) -> Option<(Result<Frame<Bytes>, hyper::Error>, Writes)> {
    let (number, write) = writes.next()?;
    let pause_ms = match write.after {
        After::Nothing if number == 0 => TTFT_MS,
        After::Nothing => 0,
        After::Token => ITL_MS,
        After::Ms(ms) => ms,
    };
    if pause_ms > 0 {
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
    }
    Some((Ok(Frame::data(Bytes::from(write.bytes))), writes))
}

async fn measure(shape: &'static Shape, more: &str) -> Measured {
    let server = Server {
        address: serve(shape).await,
        connections: Arc::default(),
        requests: Arc::default(),
        bodies: Arc::default(),
    };
    let workload = format!(
        "shows = 'x'\nduration_s = 0.2\narrival = {{ process = 'constant', rate_per_s = 20 }}\n{more}\n\
         [[mix]]\nclass = 'c'\napi = '{}'\ninput_tokens = 20\noutput_tokens = {TOKENS}\n\
         [[slo]]\nmetric = 'itl-chunk'\npercentile = 50\nat_most_ms = 1000\n\
         [[slo]]\nmetric = 'ttft'\npercentile = 50\nat_most_ms = 60000\n",
        shape.api
    );
    send(&server, &workload, &CancellationToken::new()).await
}

/// The right verdict on a shape: the remarks on a good answer, or the kind of its failure.
fn right(name: &str) -> Result<&'static [Remark], &'static str> {
    use Remark::*;
    Ok(match name {
        "azure-first" | "both-reasoning" | "coalesced" | "comments" | "completions" | "crlf"
        | "delta-and-message" | "end-late" | "error-falsy" | "function-call" | "multiline"
        | "plain" | "refusal" | "thinking-parts" | "tool-calls" | "torn" | "two-choices"
        | "usage-late" => &[],
        "responses"
        | "responses-torn"
        | "responses-completed"
        | "responses-unnamed"
        | "responses-reasoning"
        | "responses-summary"
        | "responses-call"
        | "responses-refusal"
        | "responses-whole"
        | "responses-future"
        | "messages"
        | "messages-torn"
        | "messages-thinking"
        | "messages-tool"
        | "messages-cached" => &[],
        "responses-done" | "messages-done" => &[DoneForeign],
        "responses-ping" | "messages-future" => &[NamedEvent],
        "responses-no-usage" | "messages-no-usage" => &[NoUsage],
        "responses-numbers" => &[Sequence],
        "messages-no-stop" => &[NoDone],
        "messages-unnamed" => &[Unnamed],
        "messages-reason" => &[FinishUnknown],
        "messages-refused" => &[ContentFilter],
        "responses-failed"
        | "responses-error"
        | "responses-error-data"
        | "responses-error-status"
        | "messages-error"
        | "messages-error-data" => {
            return Err("error-event");
        }
        "responses-no-end" | "messages-no-end" => return Err("no-done"),
        "responses-only-done" | "messages-no-reason" => return Err("no-finish"),
        "responses-chat" => return Err("no-answer"),
        "responses-cancelled" | "messages-aborted" => return Err("aborted"),
        "responses-late" | "messages-late" => return Err("out-of-order"),
        "responses-repeated" | "messages-repeated" => return Err("repeated"),
        "finish-empty" => &[FinishEmpty],
        "finish-twice" => &[FinishTwice],
        "filtered" => &[ContentFilter],
        "choices-null" | "choices-absent" => &[NoChoices],
        "usage-absent" => &[NoUsage],
        "usage-zero" => &[UsageZero],
        "usage-null" => &[UsageOdd, NoUsage],
        "usage-fraction" => &[UsageOdd],
        "usage-less" => &[UsageLess, Shorter],
        "empty-data" => &[EmptyData],
        "ping" => &[NamedEvent],
        "done-blanks" => &[DoneVariant],
        "done-twice" => &[DoneTwice],
        "done-unterminated" => &[DoneUnterminated],
        "no-done" => &[NoDone],
        "ids-differ" => &[IdsDiffer],
        "no-finish-all" => &[NoFinish],
        "short" => &[Shorter],
        "no-text" => &[NoText],
        "error-data" | "error-event" | "error-event-text" | "error-line" | "error-object"
        | "error-type" | "error-choice" | "error-unframed" => return Err("error-event"),
        "finish-abort" | "finish-error" => return Err("aborted"),
        "no-finish" => return Err("no-finish"),
        "bare-done" => return Err("no-done"),
        "repeated" => return Err("repeated"),
        "late-text" => return Err("out-of-order"),
        "type-plain" => return Err("not-streamed"),
        "empty" | "page" => return Err("not-json"),
        "json-error" => return Err("error-body"),
        other => panic!("no verdict for shape {other}"),
    })
}

/// Checks what was measured of a shape.
fn check(shape: &Shape, measured: &Measured, version: &str) {
    let what = format!("{} over HTTP/{version}", shape.name);
    let all = all(measured);
    let kinds: Vec<String> = all.failed.keys().map(ToString::to_string).collect();
    let examples = &measured.recorder.examples;
    let remarks = match right(shape.name) {
        Ok(remarks) => remarks,
        Err(kind) => {
            assert_eq!(
                (kinds, all.failures()),
                (vec![kind.to_owned()], REQUESTS),
                "{what}: {examples:?}"
            );
            assert!(all.series(Series::ItlChunk).is_none(), "{what}");
            if ["error", "failed"]
                .iter()
                .any(|word| shape.name.contains(word))
                && shape.name != "finish-error"
            {
                assert!(
                    examples[0].detail.contains("engine died"),
                    "{what}: {examples:?}"
                );
            }
            return;
        }
    };
    assert_eq!(
        (all.answered, all.failures()),
        (REQUESTS, 0),
        "{what}: {examples:?}"
    );
    for remark in Remark::ALL {
        let wanted = if remarks.contains(&remark) {
            REQUESTS
        } else {
            0
        };
        assert_eq!(all.remarks[remark as usize], wanted, "{what}: {remark:?}");
    }
    let mean_ms = |series| all.series(series).map(|times| times.mean() / 1000.0);
    let tokens = match shape.name {
        "short" => FEW,
        "usage-less" => TOKENS - 2,
        _ => TOKENS,
    };
    assert_eq!(all.output_tokens, tokens as u64 * REQUESTS, "{what}");
    if shape.name == "no-text" {
        assert_eq!(
            (mean_ms(Series::Ttft), all.textless, all.good),
            (None, REQUESTS, 0),
            "{what}"
        );
        return;
    }
    // Sleeps are never shorter; a busy machine makes them longer.
    let ttft = mean_ms(Series::Ttft).unwrap();
    assert!(
        ttft >= TTFT_MS as f64 && ttft < 400.0,
        "{what}: TTFT {ttft}"
    );
    assert_eq!(all.good, REQUESTS, "{what}");
    let e2e = mean_ms(Series::E2e).unwrap();
    assert!(e2e < (TTFT_MS + LATE_MS) as f64, "{what}: E2E {e2e}");
    let tpot = mean_ms(Series::Tpot).unwrap();
    assert!(tpot < 35.0, "{what}: TPOT {tpot}");
    let reasons = ["reasoning", "thinking", "summary"];
    let reasons = reasons.iter().any(|word| shape.name.contains(word));
    let ttfa = mean_ms(Series::Ttfa);
    assert_eq!(ttfa.is_some(), reasons, "{what}");
    if let Some(ttfa) = ttfa {
        let least = ttft + (TOKENS / 2) as f64 * ITL_MS as f64 * 0.9;
        assert!(ttfa >= least, "{what}: TTFA {ttfa}, TTFT {ttft}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_shape_has_its_verdict_its_remarks_and_its_times() {
    let all: Vec<&Shape> = Shape::all().collect();
    for shapes in all.chunks(AT_ONCE) {
        let measured = join_all(shapes.iter().map(|shape| async move {
            let one = measure(shape, "http = '1.1'").await;
            check(shape, &one, "1.1");
            let two = measure(shape, "http = '2'").await;
            check(shape, &two, "2");
        }));
        measured.await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn strictly_deviations_are_failures_and_other_remarks_are_not() {
    for (name, wanted) in [
        ("plain", None),
        ("short", None),
        ("filtered", None),
        ("no-done", Some("no-done")),
        ("done-unterminated", Some("no-done")),
        ("ids-differ", Some("mixed")),
        ("ping", Some("deviates")),
        ("no-finish-all", Some("no-finish")),
    ] {
        let shape = Shape::named(name).unwrap();
        let all = all(&measure(shape, "strict = true").await);
        let failed: Vec<(String, u64)> = all
            .failed
            .iter()
            .map(|(kind, n)| (kind.to_string(), *n))
            .collect();
        let wanted: Vec<_> = wanted
            .map(|kind| (kind.to_owned(), REQUESTS))
            .into_iter()
            .collect();
        assert_eq!(failed, wanted, "{name}");
    }
}
