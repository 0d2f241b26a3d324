//! Windows of a run beside its totals.

use std::time::Duration;

use poolproof_records::load::Snapshot;
use poolproof_records::load::over_time::Window;
use tokio_util::sync::CancellationToken;

use super::server::{Act, Server, stream, token, whole};
use super::{all, good, hundred_a_second, send, send_and_watch};

fn sum(windows: &[Window], of: impl Fn(&Window) -> u64) -> u64 {
    windows.iter().map(of).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_windows_of_a_run_sum_up_to_its_totals() {
    let broken = stream(&token("a "));
    let server = Server::start(move |number| match number % 3 {
        0 => Act::Send(broken.clone()),
        _ => Act::Send(good()),
    })
    .await;
    let measured = send(
        &server,
        &hundred_a_second(2.8, ""),
        &CancellationToken::new(),
    )
    .await;
    let (all, windows) = (all(&measured), measured.recorder.windows.windows());
    assert_eq!(windows.len(), 3, "{windows:?}");
    assert_eq!(sum(&windows, |it| it.started), measured.started_requests);
    assert_eq!(sum(&windows, |it| it.answered), all.answered);
    assert_eq!(sum(&windows, Window::failures), all.failures());
    assert_eq!(sum(&windows, |it| it.output_tokens), all.output_tokens);
    for series in ["ttft", "tpot", "e2e"] {
        let n = sum(&windows, |it| it.times[series].n);
        assert_eq!(n, all.answered, "{series}");
    }
    assert!(all.failures() > 50, "{:?}", all.failed);
    // A third of the requests failed.
    assert!(windows.iter().all(|it| it.times["ttft"].p99_ms.is_none()));
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_has_tokens_failures_endpoints_and_times() {
    let server = Server::start(|number| match number % 2 {
        0 => Act::Send(whole(503, "text/plain", "busy")),
        _ => Act::Send(good()),
    })
    .await;
    let mut last = Snapshot::default();
    let mut early = 0;
    let mut watch = |now: &Snapshot| {
        early = early.max(last.output_tokens);
        last = now.clone();
    };
    let stop = CancellationToken::new();
    send_and_watch(&server, &hundred_a_second(1.8, ""), &stop, &mut watch).await;
    assert_eq!((last.started, last.answered, last.failed), (180, 90, 90));
    assert_eq!(last.failures, [("status-503".to_owned(), 90)].into());
    assert_eq!(last.endpoints, [("pod-0".to_owned(), 90)].into());
    assert_eq!((last.output_tokens, last.ttfts.len()), (270, 90));
    // It is there while the run lasts.
    assert!(early > 0 && early < 270, "{early}");
}

#[tokio::test(flavor = "multi_thread")]
async fn windows_have_the_warm_up_and_what_never_ended() {
    let server = Server::start(|_| Act::Stall).await;
    let stop = CancellationToken::new();
    let workload = hundred_a_second(60.0, "warm_up_s = 30");
    let (measured, ()) = tokio::join!(send(&server, &workload, &stop), async {
        server.has_requests(20).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        stop.cancel();
    });
    assert_eq!(all(&measured).requests, 0);
    let windows = measured.recorder.windows.windows();
    assert_eq!(sum(&windows, |it| it.started), measured.started_requests);
    // From the start to 0.3 s after the twentieth request, they pile up evenly.
    let area: f64 = windows.iter().map(|it| it.in_flight * it.length_s).sum();
    assert!(area > 0.3 * 20.0, "{area}");
    assert!(sum(&windows, |it| it.answered + it.failures()) == 0);
}
