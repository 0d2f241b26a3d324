//! Sessions: users who hold conversations; their requests are sent and measured like all others.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use poolproof_model::workload::Series;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::server::{Act, Server, end, stream, token};
use super::{all, send};

/// A workload of sessions.
fn sessions(users: usize, turns: u32, duration_s: f64, more: &str) -> String {
    format!(
        "shows = 'x'\nduration_s = {duration_s}\n{more}\n\
         arrival = {{ process = 'sessions', users = {users}, turns = {turns}, think_time_s = 0.002 }}\n\
         [[mix]]\nclass = 'c'\nshared_prefix = {{ groups = 1, tokens = 9 }}\ninput_tokens = 20\noutput_tokens = 3\n"
    )
}

/// An answer that no other request gets.
fn answer(number: usize) -> String {
    stream(&(token(&format!("answer {number} ")) + &token("is \\\"so\\\"") + &token(".") + &end(3)))
}

/// The contents of a request's messages.
fn contents(body: &str) -> Vec<String> {
    let body: Value = serde_json::from_str(body).unwrap();
    let messages = body["messages"].as_array().unwrap().iter();
    messages
        .map(|it| it["content"].as_str().unwrap().to_owned())
        .collect()
}

/// The numbers and contents of the requests of each session: those that open with the same words of their user.
fn by_session(bodies: &[String]) -> BTreeMap<String, Vec<(usize, Vec<String>)>> {
    let mut sessions = BTreeMap::<_, Vec<_>>::new();
    for (number, body) in bodies.iter().enumerate() {
        let contents = contents(body);
        let session = sessions.entry(contents[1].clone()).or_default();
        session.push((number, contents));
    }
    sessions
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_carries_the_answers_before_it_and_so_never_overlaps_them() {
    let server = Server::start(|number| Act::Send(answer(number))).await;
    let workload = sessions(5, 3, 0.4, "");
    let measured = send(&server, &workload, &CancellationToken::new()).await;
    let bodies = server.bodies.lock().unwrap().clone();
    let sessions = by_session(&bodies);
    assert!(sessions.len() > 5, "{} sessions", sessions.len());
    for turns in sessions.values() {
        assert!(turns.len() <= 3);
        for (turn, (_, said)) in turns.iter().enumerate() {
            assert_eq!(said.len(), 2 + 2 * turn);
            // What was answered to each turn before, word for word: it could not be sent before that had come.
            for (before, (number, _)) in turns[..turn].iter().enumerate() {
                assert_eq!(said[2 + 2 * before], format!("answer {number} is \"so\"."));
            }
        }
    }
    // All but those in which the time ran out have all their turns.
    let cut_short = sessions.values().filter(|turns| turns.len() < 3);
    assert!(cut_short.count() <= 5);
    let all = all(&measured);
    let sent = bodies.len() as u64;
    assert_eq!(
        (all.requests, all.answered, all.failures()),
        (sent, sent, 0)
    );
    assert_eq!(all.series(Series::Ttft).unwrap().len(), sent);
    assert_eq!(all.series(Series::ItlChunk).unwrap().len(), 2 * sent);
    assert_eq!(measured.recorder.endpoints(), ["pod-0"]);
    let of_turn = |turn| measured.recorder.sum(|key| key.stage == turn).requests;
    assert_eq!(of_turn(0), sessions.len() as u64);
    assert_eq!(of_turn(0) + of_turn(1) + of_turn(2), sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_whose_answer_was_cut_is_over_and_the_next_one_begins() {
    let server = Server::start(|number| match number {
        1 => Act::SendAndClose(answer(1)[..400].to_owned()),
        _ => Act::Send(answer(number)),
    })
    .await;
    let workload = sessions(1, 3, 0.5, "");
    let measured = send(&server, &workload, &CancellationToken::new()).await;
    let all = all(&measured);
    let failed: Vec<_> = all.failed.iter().collect();
    assert_eq!(format!("{failed:?}"), "[(Cut, 1)]");
    let bodies = server.bodies.lock().unwrap().clone();
    assert_eq!(all.requests, bodies.len() as u64);
    let turns: Vec<usize> = bodies.iter().map(|it| contents(it).len() / 2).collect();
    assert_eq!(turns[..5], [1, 2, 1, 2, 3]);
    assert_ne!(contents(&bodies[0])[1], contents(&bodies[2])[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warm_up_is_sent_and_not_counted_and_whole_answers_are_repeated_too() {
    const ANSWER: &str = r#"{"choices":[{"message":{"role":"assistant","content":"all of it"},"finish_reason":"stop"}]}"#;
    let server =
        Server::start(|_| Act::Send(super::server::whole(200, "application/json", ANSWER))).await;
    let workload = sessions(2, 2, 0.3, "warm_up_s = 0.15") + "stream = false";
    let measured = send(&server, &workload, &CancellationToken::new()).await;
    let sent = server.requests.load(Ordering::Relaxed) as u64;
    let counted = all(&measured).answered;
    assert!(counted > 0 && counted < sent, "{counted} of {sent}");
    assert_eq!(measured.started_requests, sent);
    let bodies = server.bodies.lock().unwrap().clone();
    let second = bodies
        .iter()
        .map(|it| contents(it))
        .find(|it| it.len() == 4);
    assert_eq!(second.unwrap()[2], "all of it");
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_end_at_once_when_they_are_told_to() {
    let server = Server::start(|_| Act::Stall).await;
    let stop = CancellationToken::new();
    let workload = sessions(5, 3, 600.0, "");
    let (measured, told_at) = tokio::join!(send(&server, &workload, &stop), async {
        server.has_requests(5).await;
        stop.cancel();
        Instant::now()
    });
    // Neither the rest of the run nor the answers, which would be given up after a minute, are waited for.
    assert!(told_at.elapsed() < Duration::from_secs(10));
    assert_eq!((measured.unfinished, all(&measured).requests), (5, 0));
    // Another run in the same process is not kept from its work by the one before.
    let server = Server::start(|number| Act::Send(answer(number))).await;
    let measured = send(&server, &sessions(1, 2, 0.1, ""), &CancellationToken::new()).await;
    assert!(all(&measured).answered > 2);
}
